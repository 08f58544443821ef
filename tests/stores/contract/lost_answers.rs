//! An undo whose answer is lost: asked for through another connection, done once, and reported as it was. PostgreSQL only: a file
//! answers at once. And what a broken connection is called.

use super::{Bed, PostgresBed, operator::failed, snapshot, with_victim};
use crate::support::proxy::Proxy;
use beatwarden::{
    domain::{Action, Coverage},
    store::{Entries, ErrorTextRemoval, Failure, Ledger, ObserveRequest, Store, Undo},
};

const PAYLOAD: &str = "UPDATE runs SET payload = '{\"a\": 1e2, \"b\": NaN}' WHERE id = 2";

#[tokio::test]
async fn an_undo_that_was_committed_before_the_connection_broke_is_reported_as_it_was() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    bed.sql(PAYLOAD).await;
    let before = bed.rows().await;
    let id = failed(&bed).await;
    let proxy = Proxy::start(bed.port()).await;
    let mut store = bed.store_through(proxy.address, Action::Fail);
    snapshot(&mut store).await;
    proxy.faults.lose_answers_to("/* beatwarden: undo fail */");
    let undone = store.undo(id).await.unwrap();
    let Undo::Done { entry, error_text, .. } = undone else {
        panic!("{undone:?}")
    };
    assert_eq!(error_text, ErrorTextRemoval::TakenOut);
    assert_eq!(bed.rows().await, before, "every row and column as before");
    let entries = store.entries(Entries::Newest(10)).await.unwrap();
    assert_eq!((entries.len(), entries[0].repair_id), (2, entry));
}

#[tokio::test]
async fn an_error_text_that_an_undo_left_alone_is_reported_so_though_its_answer_was_lost() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    bed.sql(PAYLOAD).await;
    let id = failed(&bed).await;
    bed.sql("UPDATE runs SET payload = '{\"a\": 2}' WHERE id = 2").await;
    let proxy = Proxy::start(bed.port()).await;
    let mut store = bed.store_through(proxy.address, Action::Fail);
    snapshot(&mut store).await;
    proxy.faults.lose_answers_to("/* beatwarden: undo fail */");
    let undone = store.undo(id).await.unwrap();
    assert!(
        matches!(
            undone,
            Undo::Done {
                error_text: ErrorTextRemoval::LeftAlone,
                ..
            }
        ),
        "{undone:?}"
    );
}

#[tokio::test]
async fn an_undo_that_the_server_ended_half_way_is_made_through_another_connection() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    bed.sql(PAYLOAD).await;
    let before = bed.rows().await;
    let id = failed(&bed).await;
    bed.sql(
        "CREATE SEQUENCE tried;
         CREATE FUNCTION ends_the_session() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.state = 'RUNNING' AND nextval('tried') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER ends_the_session BEFORE UPDATE ON runs
             FOR EACH ROW EXECUTE FUNCTION ends_the_session();",
    )
    .await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    let undone = store.undo(id).await.unwrap();
    assert!(
        matches!(
            undone,
            Undo::Done {
                error_text: ErrorTextRemoval::TakenOut,
                ..
            }
        ),
        "{undone:?}"
    );
    assert_eq!(bed.rows().await, before, "every row and column as before");
    assert_eq!(store.entries(Entries::Newest(10)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_undo_whose_answer_stays_missing_names_the_command_that_tells() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let proxy = Proxy::start(bed.port()).await;
    let mut store = bed.store_through(proxy.address, Action::Fail);
    snapshot(&mut store).await;
    proxy.faults.lose_answers_to("/* beatwarden: undo fail */");
    proxy.faults.refuse_connections();
    let said = store.undo(id).await.unwrap_err().chain();
    assert!(
        said.contains("the answer is missing; `beatwarden history` shows whether it was done"),
        "{said}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_pass_is_called_by_what_it_was_asked() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    let mut store = bed.store(Action::Observe);
    snapshot(&mut store).await;
    let lock = bed
        .client_in_transaction("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        .await;
    let request = ObserveRequest::whole(Vec::new(), Coverage::Ordinary);
    let ended = async {
        bed.sql(
            "DO $$ BEGIN
                 WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                   AND application_name = 'beatwarden' AND wait_event_type = 'Lock') LOOP
                     PERFORM pg_sleep(0.01);
                     PERFORM pg_stat_clear_snapshot();
                 END LOOP;
                 PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'beatwarden';
             END $$",
        )
        .await;
    };
    let (observed, ()) = tokio::join!(store.observe(&request), ended);
    let error = observed.unwrap_err();
    assert_eq!(error.failure(), Failure::Connect);
    let said = error.chain();
    assert!(said.starts_with("the connection broke while "), "{said}");
    assert!(said.contains("57P01"), "{said}");
    drop(lock);
    snapshot(&mut store).await;
}

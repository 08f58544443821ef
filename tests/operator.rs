//! The operator's commands with the real binary: explain, repair by hand, history, undo, ack, on a file and on a server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use std::{io::Write, process::Stdio, time::Duration};
use support::{
    beatwarden::{Beatwarden, command},
    table::Table,
};

const SOON: Duration = Duration::from_secs(20);

/// A test on both databases.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(Table::file()).await; })+
        }
        mod postgres_server {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test(Table::server().await).await; })+
        }
    };
}

on_both!(
    a_dead_job_is_repaired_by_hand_given_back_and_insisted_on,
    a_dry_run_changes_nothing_and_nobody_s_answer_is_no_yes,
    what_can_t_be_done_is_said_and_ends_with_the_promised_code,
    a_false_repair_opens_the_fuse_for_every_replica_until_it_is_acknowledged,
    giving_a_job_back_and_acknowledging_are_no_repairs,
    explain_speaks_for_the_running_instance,
    history_is_read_from_its_end,
);

async fn a_dead_job_is_repaired_by_hand_given_back_and_insisted_on(table: Table) {
    table.job(1, "orders", 6, None).await;
    table.job(2, "alive", 6, Some(1)).await;
    let (code, said, _) = table.run(&["repair", "--now", "--action", "fail", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("due, action fail") && said.contains("job 1: failed, ledger entry "),
        "{said}"
    );
    assert!(!said.contains("alive"), "{said}");
    let id = table.json(&["history"])["repairs"][0]["repair_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let explained = table.json(&["explain", "1"]);
    assert_eq!(
        (&explained["job"]["state"], &explained["repairs"][0]["repair_id"]),
        (&"FAIL".into(), &id.as_str().into())
    );

    let undone = table.json(&["undo", &id]);
    assert_eq!(undone["done"], true);
    let explained = table.json(&["explain", "1", "--missed-first", "fail"]);
    assert_eq!(explained["job"]["withheld_cause"], "undone");
    let by_itself = table.json(&["repair", "--now", "--action", "fail", "--yes"]);
    assert_eq!(
        (&by_itself["due"], &by_itself["withheld"][0]["cause"]),
        (&Value::Array(vec![]), &"undone".into())
    );
    let insisted = table.json(&["repair", "--now", "--action", "fail", "--yes", "--job", "1"]);
    assert_eq!(insisted["repairs"][0]["outcome"], "repaired", "{insisted}");
    assert_eq!(table.json(&["history"])["repairs"].as_array().unwrap().len(), 3);
}

async fn a_dry_run_changes_nothing_and_nobody_s_answer_is_no_yes(table: Table) {
    table.job(1, "orders", 6, None).await;
    let dry = table.json(&["repair", "--now", "--dry-run"]);
    assert_eq!(
        (&dry["action"], &dry["due"][0]["id"]),
        (&"backfill".into(), &"1".into())
    );
    let (code, _, complaint) = table.run(&["repair", "--now"]);
    assert!(
        code == 1 && complaint.contains("--yes repairs without asking"),
        "{complaint}"
    );
    assert_eq!(table.json(&["history"])["repairs"].as_array().unwrap().len(), 0);
    assert_eq!(table.json(&["explain", "1"])["job"]["last_heartbeat_at"], Value::Null);

    // A no is a decision, not a failure; a yes in a pipe is a yes.
    for (answer, repairs) in [("no\n", 0), ("yes\n", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = table
            .command(folder.path(), &["repair", "--now"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{answer}");
        assert_eq!(
            table.json(&["history"])["repairs"].as_array().unwrap().len(),
            repairs,
            "{answer}"
        );
    }
}

async fn what_can_t_be_done_is_said_and_ends_with_the_promised_code(table: Table) {
    let cases: [(&[&str], i32, &str); 11] = [
        (&["undo", "no-uuid"], 2, "expected a repair's UUID"),
        (
            &["undo", "0f1cb3f3-579d-5c30-b5ef-235e0327e5df"],
            1,
            "there is no repair",
        ),
        (
            &["ack", "0f1cb3f3-579d-5c30-b5ef-235e0327e5df"],
            1,
            "there is no repair",
        ),
        (&["ack"], 2, "required"),
        (&["ack", "--fuse"], 1, "no fuse to acknowledge"),
        (
            &["repair", "--missed-first", "observe"],
            2,
            "--action backfill or --action fail",
        ),
        (&["explain", "99"], 1, "no row with id = 99"),
        (&["explain", "abc'; --"], 1, "no row with id = abc'; --"),
        (
            &["explain", "99999999999999999999"],
            1,
            "no row with id = 99999999999999999999",
        ),
        (&["explain"], 2, "JOB_ID"),
        (&["history", "--limit", "0"], 2, "--limit"),
    ];
    for (arguments, expected, words) in cases {
        let (code, said, complaint) = table.run(arguments);
        assert_eq!(code, expected, "{arguments:?}: {said}{complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert_eq!(said, "", "{arguments:?}: data goes to stdout, complaints don't");
    }
    let (code, said, _) = table.run(&["repair", "--now", "--yes"]);
    assert_eq!((code, said.trim()), (0, "nothing is due"));
    assert_eq!(table.run(&["history"]).1.trim(), "no repairs yet");
}

async fn a_false_repair_opens_the_fuse_for_every_replica_until_it_is_acknowledged(table: Table) {
    let watch = || async {
        let url = table.url();
        let arguments = [
            "--database",
            &url,
            "--preset",
            "meltano",
            "--missed-first",
            "fail",
            "--poll-interval",
            "100ms",
        ];
        Beatwarden::watch(&[&arguments[..], &["--init-deadline", "2s", "--heartbeat-timeout", "3s"]].concat()).await
    };
    let (one, other) = (watch().await, watch().await);
    let of_watch = |name: &str| format!("{name}{{watch=\"meltano\"}}");
    one.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    table.job(1, "orders", 0, None).await;
    let failed = || async { (table.json(&["history"])["repairs"].as_array()?.len() == 1).then_some(()) };
    support::eventually("it is failed", SOON, failed).await;
    table.sql("UPDATE runs SET state = 'RUNNING' WHERE id = 1").await;
    for dog in [&one, &other] {
        dog.metric_becomes(&of_watch("fuse_open"), 1.0, SOON).await;
    }
    let counted =
        one.metric(&of_watch("false_repairs_total")).unwrap() + other.metric(&of_watch("false_repairs_total")).unwrap();
    assert_eq!(counted, 1.0, "counted once over all replicas");

    table.job(2, "next", 6, None).await;
    let withheld = "withheld_repairs{cause=\"fuse\",watch=\"meltano\"}";
    one.metric_becomes(withheld, 1.0, SOON).await;
    assert!(one.log().contains("false repair") || other.log().contains("false repair"));
    drop(one);
    let restarted = watch().await;
    restarted.metric_becomes(&of_watch("fuse_open"), 1.0, SOON).await;

    let entry = table.json(&["history"])["repairs"][0].clone();
    assert_eq!(entry["outcome"], "false_repair");
    let id = entry["repair_id"].as_str().unwrap().to_owned();
    assert_eq!(table.json(&["ack", &id])["done"], true);
    for dog in [&restarted, &other] {
        dog.metric_becomes(&of_watch("fuse_open"), 0.0, SOON).await;
    }
    let repaired = || async { (table.json(&["explain", "2"])["job"]["state"] == "FAIL").then_some(()) };
    support::eventually("the other job is failed now", SOON, repaired).await;
}

async fn giving_a_job_back_and_acknowledging_are_no_repairs(table: Table) {
    table.job(1, "orders", 6, None).await;
    assert_eq!(table.run(&["repair", "--now", "--action", "fail", "--yes"]).0, 0);
    let url = table.url();
    let flags = ["--database", &url, "--preset", "meltano", "--missed-first", "fail"];
    let dog = Beatwarden::watch(&[&flags[..], &["--poll-interval", "100ms", "--init-deadline", "1s"]].concat()).await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
    let newest = || dog.metric("last_repair_timestamp_seconds{watch=\"meltano\"}");
    let repaired_at = newest().unwrap();
    let id = table.json(&["history"])["repairs"][0]["repair_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(table.json(&["undo", &id])["done"], true);
    dog.metric_becomes("withheld_repairs{cause=\"undone\",watch=\"meltano\"}", 1.0, SOON)
        .await;
    assert_eq!(newest(), Some(repaired_at), "{}", dog.log());
}

async fn explain_speaks_for_the_running_instance(table: Table) {
    let url = table.url();
    let arguments = [
        "--database",
        &url,
        "--preset",
        "meltano",
        "--missed-first",
        "fail",
        "--poll-interval",
        "100ms",
    ];
    let dog =
        Beatwarden::watch(&[&arguments[..], &["--init-deadline", "2s", "--heartbeat-timeout", "3s"]].concat()).await;
    // All of a dozen dead at once: the fuse, which only the running process knows of.
    table.jobs(1..=12, "orders", 6, None).await;
    dog.metric_becomes("withheld_repairs{cause=\"fuse\",watch=\"meltano\"}", 12.0, SOON)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .args([
            "explain",
            "3",
            "--database",
            &url,
            "--preset",
            "meltano",
            "--missed-first",
            "fail",
            "--listen",
        ])
        .arg(dog.address.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("(cause fuse)") && said.contains("ack --fuse"), "{said}");
    assert!(
        said.contains(&format!("the instance at {} sees it", dog.address)),
        "{said}"
    );

    let (code, said, complaint) = table.run(&["ack", "--fuse", "--missed-first", "fail"]);
    assert!(
        code == 0 && said.contains("suspended for one hour"),
        "{said}{complaint}"
    );
    dog.metric_becomes(
        "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"meltano\"}",
        12.0,
        SOON,
    )
    .await;
}

async fn history_is_read_from_its_end(table: Table) {
    table.job(1, "orders", 6, None).await;
    assert_eq!(table.run(&["repair", "--now", "--yes"]).0, 0);
    let many = match &table {
        Table::File(_) => {
            "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after, version)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             SELECT '00000000-0000-0000-0000-' || printf('%012d', i), 'meltano', 'runs', 'old' || i, 'missed_first', 'fail', 'other/1',
                    strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-' || (i + 100) || ' minutes'), '{}', '{}', 2 FROM n"
        }
        Table::Server(..) => {
            "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after, version)
             SELECT lpad(i::text, 32, '0')::uuid, 'meltano', 'runs', 'old' || i, 'missed_first', 'fail', 'other/1',
                    now() - (i + 100) * interval '1 minute', '{}', '{}', 2 FROM generate_series(1, 100000) AS i; ANALYZE beatwarden_repairs"
        }
    };
    table.sql(many).await;
    let newest = table.json(&["history", "--limit", "3"]);
    let jobs: Vec<&str> = newest["repairs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["job_id"].as_str().unwrap())
        .collect();
    assert_eq!(jobs, ["1", "old1", "old2"]);
    // However long the ledger is, it is read by its indexes: no plan may scan it.
    let plan = match &table {
        Table::File(folder) => {
            let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
            let sql =
                include_str!("../src/store/sqlite/sql/ledger_newest.sql").replace("{{ledger}}", "beatwarden_repairs");
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines = statement
                .query_map(("[\"runs\"]", 100, 2000, 100), |row| row.get::<_, String>("detail"))
                .unwrap();
            lines.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n")
        }
        Table::Server(_, client) => {
            let sql =
                include_str!("../src/store/postgres/sql/ledger_newest.sql").replace("{{ledger}}", "beatwarden_repairs");
            let (shown, watched, open) = (100_i64, 2_000_i64, 100_i64);
            let rows = client
                .query(
                    &format!("EXPLAIN {sql}"),
                    &[&vec!["public.runs", "runs"], &shown, &watched, &open],
                )
                .await
                .unwrap();
            rows.iter()
                .map(|row| row.get::<_, String>(0))
                .collect::<Vec<_>>()
                .join("\n")
        }
    };
    assert!(
        !plan.contains("Seq Scan on beatwarden_repairs") && !plan.contains("SCAN beatwarden_repairs"),
        "{plan}"
    );
    assert!(plan.contains("beatwarden_repairs_table_unacknowledged"), "{plan}");
}

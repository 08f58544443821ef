//! The operator's commands with the real binary: explain, repair by hand, history, undo, ack, on a file and on a server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    beatwarden::{Beatwarden, command, words},
    table::Table,
    written,
};
use serde_json::Value;
use std::{io::Write, process::Stdio, time::Duration};
use tokio_postgres::types::ToSql;

const SOON: Duration = Duration::from_secs(20);

crate::support::on_both!(
    a_dead_job_is_repaired_by_hand_given_back_and_insisted_on,
    a_dry_run_changes_nothing_and_no_answer_is_no_yes,
    what_can_t_be_done_is_said_and_ends_with_the_promised_code,
    a_false_repair_opens_the_fuse_for_every_replica_until_it_is_acknowledged,
    giving_a_job_back_and_acknowledging_are_no_repairs,
    explain_speaks_for_the_running_instance,
    history_is_read_from_its_end,
    one_job_that_can_t_be_repaired_is_reported_as_what_it_is,
    the_beginning_of_an_identity_is_enough_and_people_are_named,
    a_renamed_watch_forgets_nothing,
    a_false_repair_stays_on_top_of_the_history,
    a_job_is_explained_by_its_name_and_without_false_claims,
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
    let id = table.newest_entry();
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

async fn a_dry_run_changes_nothing_and_no_answer_is_no_yes(table: Table) {
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
        (&["ack"], 2, "--fuse"),
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
        (&["explain"], 2, "JOB"),
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
        let arguments = format!("--database {url} --preset meltano --missed-first fail --poll-interval 100ms");
        let arguments = words(&arguments);
        Beatwarden::watch(&[&arguments[..], &["--init-deadline", "2s", "--heartbeat-timeout", "3s"]].concat()).await
    };
    let (one, other) = (watch().await, watch().await);
    let of_watch = |name: &str| format!("{name}{{watch=\"meltano\"}}");
    one.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    table.job(1, "orders", 0, None).await;
    let failed = || async { (table.json(&["history"])["repairs"].as_array()?.len() == 1).then_some(()) };
    crate::support::eventually("it is failed", SOON, failed).await;
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
    crate::support::eventually("the other job is failed now", SOON, repaired).await;
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
    let id = table.newest_entry();
    assert_eq!(table.json(&["undo", &id])["done"], true);
    dog.metric_becomes("withheld_repairs{cause=\"undone\",watch=\"meltano\"}", 1.0, SOON)
        .await;
    assert_eq!(newest(), Some(repaired_at), "{}", dog.log());
}

async fn explain_speaks_for_the_running_instance(table: Table) {
    let url = table.url();
    let arguments = format!("--database {url} --preset meltano --missed-first fail --poll-interval 100ms");
    let arguments = words(&arguments);
    let dog =
        Beatwarden::watch(&[&arguments[..], &["--init-deadline", "2s", "--heartbeat-timeout", "3s"]].concat()).await;
    // All of a dozen dead at once: the fuse, which only the running process knows of.
    table.jobs(1..=12, "orders", 6, None).await;
    dog.metric_becomes("withheld_repairs{cause=\"fuse\",watch=\"meltano\"}", 12.0, SOON)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .args(words(&format!(
            "explain 3 --database {url} --preset meltano --missed-first fail --listen"
        )))
        .arg(dog.address.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("(cause fuse)") && said.contains("ack --fuse"), "{said}");
    assert!(
        said.contains(&format!("the instance on {} sees it", dog.address)),
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
    for plan in ledger_plans(&table).await {
        assert!(
            !plan.contains("Seq Scan on beatwarden_repairs") && !plan.contains("SCAN beatwarden_repairs"),
            "{plan}"
        );
        for index in [
            "beatwarden_repairs_table_time",
            "beatwarden_repairs_table_unacknowledged",
            "beatwarden_repairs_table_late",
        ] {
            assert!(plan.contains(index), "{index}: {plan}");
        }
    }
}

/// How the database finds the newest entries of the ledger, and whether there are others than before.
async fn ledger_plans(table: &Table) -> [String; 2] {
    let filled = |sql: &str, entry: &str| {
        sql.replace("{{ledger}}", "beatwarden_repairs")
            .replace("{{entry}}", entry)
    };
    match table {
        Table::File(folder) => {
            let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
            let explain = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
                let sql = filled(sql, include_str!("../../src/store/sqlite/sql/entry.sql"));
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                let lines = statement
                    .query_map(params, |row| row.get::<_, String>("detail"))
                    .unwrap();
                lines.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n")
            };
            [
                explain(
                    include_str!("../../src/store/sqlite/sql/ledger_newest.sql"),
                    &[&"[\"runs\"]", &100, &2000, &100],
                ),
                explain(
                    include_str!("../../src/store/sqlite/sql/ledger_probe.sql"),
                    &[&"[\"runs\"]", &"2026-01-01T00:00:00Z", &2000],
                ),
            ]
        }
        Table::Server(_, client) => {
            let explain = async |sql: &str, params: &[&(dyn ToSql + Sync)]| {
                let sql = filled(sql, "repair_id");
                let rows = client.query(&format!("EXPLAIN {sql}"), params).await.unwrap();
                let lines = rows.iter().map(|row| row.get::<_, String>(0));
                lines.collect::<Vec<_>>().join("\n")
            };
            let (tables, now) = (vec!["public.runs", "runs"], std::time::SystemTime::now());
            let (shown, watched, open) = (100_i64, 2_000_i64, 100_i64);
            [
                explain(
                    include_str!("../../src/store/postgres/sql/ledger_newest.sql"),
                    &[&tables, &shown, &watched, &open],
                )
                .await,
                explain(
                    include_str!("../../src/store/postgres/sql/ledger_probe.sql"),
                    &[&tables, &now, &watched],
                )
                .await,
            ]
        }
    }
}

async fn one_job_that_can_t_be_repaired_is_reported_as_what_it_is(table: Table) {
    table.job(1, "orders", 6, None).await;
    table.job(2, "alive", 6, Some(1)).await;
    table.job(3, "ended", 6, None).await;
    table.sql("UPDATE runs SET state = 'SUCCESS' WHERE id = 3").await;
    let one = |job: &'static str, action: &'static str| {
        let table = &table;
        move || table.run(&["repair", "--now", "--yes", "--job", job, "--action", action])
    };
    let cases = [
        ("99", "there is no job 99"),
        ("2", "job 2 is not stuck: it is beating"),
        ("3", "job 3 has ended: its state is `SUCCESS`"),
    ];
    for (job, words) in cases {
        let (code, said, complaint) = one(job, "fail")();
        assert_eq!((code, said.as_str()), (1, ""), "{job}: {complaint}");
        assert!(complaint.contains(words), "{job}: {complaint}");
    }
    let (code, said, _) = one("1", "backfill")();
    assert!(
        code == 0 && said.contains("no heartbeat") && said.contains("job 1: backfilled"),
        "{said}"
    );
    let (code, _, complaint) = one("1", "backfill")();
    assert_eq!(code, 1);
    assert!(
        complaint.contains("nothing to backfill") && complaint.contains("Beatwarden set its heartbeat at"),
        "{complaint}"
    );
    let (code, said, _) = one("1", "fail")();
    assert!(code == 0 && said.contains("the one written with its start"), "{said}");
    let (code, _, complaint) = one("1", "fail")();
    assert_eq!(code, 1);
    assert!(
        complaint.contains("has ended: its state is `FAIL`") && complaint.contains("Beatwarden failed it at"),
        "{complaint}"
    );
}

async fn the_beginning_of_an_identity_is_enough_and_people_are_named(table: Table) {
    table.job(1, "orders", 6, None).await;
    assert_eq!(table.run(&["repair", "--now", "--action", "fail", "--yes"]).0, 0);
    let id = table.newest_entry();
    assert_eq!(table.run(&["undo", &id[..7]]).0, 2, "seven characters are too few");
    // Another entry that begins with the same eight.
    let copied = "INSERT INTO beatwarden_repairs SELECT ID, watch, table_name, 'other', job_name, reason, action, instance, \
                  started_at, repaired_at, before, after, outcome, outcome_at, acknowledged_at, undo_of, version \
                  FROM beatwarden_repairs WHERE job_id = '1'";
    let other = format!("'{}-0000-4000-8000-000000000000'", &id[..8]);
    let typed = match &table {
        Table::File(_) => other.clone(),
        Table::Server(..) => format!("{other}::uuid"),
    };
    table.sql(copied.replace("ID", &typed).as_str()).await;
    let (code, said, complaint) = table.run(&["undo", &id[..8]]);
    assert_eq!((code, said.as_str()), (1, ""), "{complaint}");
    assert!(
        complaint.contains("several repairs begin with") && complaint.contains(&id),
        "{complaint}"
    );
    table.sql("DELETE FROM beatwarden_repairs WHERE job_id = 'other'").await;
    let undone = table.json(&["undo", &id[..8]]);
    assert_eq!(
        (&undone["done"], &undone["repair_id"]),
        (&true.into(), &id.as_str().into())
    );
    let instance = table.json(&["history"])["repairs"][0]["instance"]
        .as_str()
        .unwrap()
        .to_owned();
    let (user, place) = instance.split_once('@').expect("the user comes first");
    assert!(!user.is_empty() && place.contains('/'), "{instance}");

    // A second attempt to fail it reports that a person gave it back.
    let (code, said, complaint) = table.run(&["repair", "--now", "--action", "fail", "--job", "1"]);
    assert!(
        said.contains("its repair was undone at ") && said.contains(&instance),
        "{said}"
    );
    assert!(
        code == 1 && complaint.contains("although its repair was undone at "),
        "{complaint}"
    );
}

async fn a_renamed_watch_forgets_nothing(table: Table) {
    table.job(1, "orders", 6, None).await;
    assert_eq!(table.run(&["repair", "--now", "--action", "fail", "--yes"]).0, 0);
    let id = table.newest_entry();
    assert_eq!(table.json(&["undo", &id])["done"], true);
    // From flags to a file, where the watch has another name.
    let configured = format!(
        "[[watch]]\nname = \"nightly\"\npreset = \"meltano\"\ndatabase = {:?}\npoll_interval = \"100ms\"\n\
         init_deadline = \"2s\"\nheartbeat_timeout = \"3s\"\nrepair.missed_first = \"fail\"\n",
        table.url()
    );
    let (folder, file) = written("other.toml", configured);
    let run = |arguments: &[&str]| {
        let output = command(folder.path())
            .arg("--config")
            .arg(&file)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said, String::from_utf8(output.stderr).unwrap())
    };
    let (code, said, complaint) = run(&["repair", "--now", "--yes", "--json"]);
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &answer["due"], &answer["withheld"][0]["cause"]),
        (Some(0), &Value::Array(vec![]), &"undone".into()),
        "{complaint}"
    );
    let (code, said, _) = run(&["history"]);
    assert!(code == Some(0) && said.contains(&id), "{said}");
}

async fn a_false_repair_stays_on_top_of_the_history(table: Table) {
    table.job(1, "orders", 6, None).await;
    assert_eq!(table.run(&["repair", "--now", "--action", "fail", "--yes"]).0, 0);
    table
        .sql("UPDATE beatwarden_repairs SET outcome = 'false_repair'")
        .await;
    table.job(2, "next", 6, None).await;
    assert_eq!(table.run(&["repair", "--now", "--action", "backfill", "--yes"]).0, 0);
    let (_, said, _) = table.run(&["history", "--limit", "1"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("false repairs that no one has acknowledged"),
        "{said}"
    );
    assert!(lines[2].contains("fail") && lines[2].contains("false_repair"), "{said}");
    assert!(lines.last().unwrap().contains("backfill"), "{said}");
    let (_, said, _) = table.run(&["status", "--missed-first", "fail"]);
    assert!(
        said.contains("The fuse is open: job 1 was failed and is alive; nothing is failed until `beatwarden ack "),
        "{said}"
    );
    let id = table.json(&["history", "--limit", "1"])["repairs"][1]["repair_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(table.json(&["ack", &id[..8]])["done"], true);
    assert!(!table.run(&["history"]).1.contains("no one has acknowledged"));
}

async fn a_job_is_explained_by_its_name_and_without_false_claims(table: Table) {
    table.job(1, "orders", 900, Some(800)).await;
    table.job(2, "orders", 6, Some(1)).await;
    table.job(3, "2", 6, Some(1)).await;
    assert_eq!(table.json(&["explain", "orders"])["job"]["id"], "2", "its newest run");
    assert_eq!(
        table.json(&["explain", "2"])["job"]["name"],
        "orders",
        "a key comes first"
    );
    let (code, _, complaint) = table.run(&["explain", "order"]);
    assert!(
        code == 1 && complaint.contains("and no job of that name"),
        "{complaint}"
    );

    // The instance lists fifty jobs: of another one it says nothing, and that is what is reported.
    table.jobs(100..=160, "silent", 3_000, Some(2_900)).await;
    table.job(200, "starting", 0, None).await;
    let url = table.url();
    let arguments = ["--database", &url, "--preset", "meltano", "--poll-interval", "100ms"];
    let dog = Beatwarden::watch(&arguments).await;
    dog.metric_becomes("running_jobs{phase=\"starting\",watch=\"meltano\"}", 1.0, SOON)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .args(words(&format!(
            "explain starting --database {url} --preset meltano --listen"
        )))
        .arg(dog.address.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("lists the stuck jobs and the oldest, 50 at most"),
        "{said}"
    );
}

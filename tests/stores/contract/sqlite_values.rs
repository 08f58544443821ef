//! What SQLite lets a column hold, whatever its type says: text that is no UTF-8, numbers in text, keys of any kind. And
//! the ledger, value by value.

use super::{
    DEADLINE, job, made, repair, repair_of, snapshot,
    sqlite_file::{COLUMNS, File},
};
use beatwarden::{
    domain::{Action, Coverage, Outcome, Phase, Repair, Snapshot, StartCheck, TimeValue},
    mapping::Identifier,
    store::{ObserveRequest, Store, TimeFormat},
};
use std::time::Duration;

fn name(name: &str) -> Identifier {
    Identifier::new(name).unwrap()
}

#[tokio::test]
async fn a_payload_that_is_no_utf8_is_kept_to_the_byte() {
    let cases = [
        ("x'7b2261223a2022c328227d0a'", "object", "{\"a\": \"\u{fffd}(\"|}\n"),
        ("x'c3287d'", "other", ""),
    ];
    for (bytes, was, merged) in cases {
        for action in [Action::Backfill, Action::Fail] {
            let file = File::new();
            file.sql(&format!("UPDATE runs SET payload = CAST({bytes} AS TEXT) WHERE id = 2"));
            let old: String = file.one("SELECT hex(CAST(payload AS BLOB)) FROM runs WHERE id = 2");
            let mut store = file.store(action);
            let repair_2 = repair_of(&snapshot(&mut store).await, 2, action);
            let outcome = repair(&mut store, &repair_2).await;
            let Outcome::Repaired(id) = outcome else {
                panic!("{bytes}, {action:?}: {outcome:?}");
            };
            let new: String = file.one("SELECT hex(CAST(payload AS BLOB)) FROM runs WHERE id = 2");
            assert_eq!(
                file.one::<String>("SELECT typeof(payload) FROM runs WHERE id = 2"),
                "text"
            );
            if action == Action::Backfill || merged.is_empty() {
                assert_eq!(new, old, "{bytes}, {action:?}");
            } else {
                let text = format!(
                    ", \"error\": \"Beatwarden: no heartbeat within 60s of the start (repair {})\"",
                    uuid::Uuid::from_u128(id.0)
                );
                let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
                assert_eq!(new, format!("{}{hex}{}", &old[..old.len() - 4], &old[old.len() - 4..]));
            }
            if action == Action::Fail {
                let before: String = file.one("SELECT before FROM beatwarden_repairs");
                assert!(before.contains(&format!("\"error_was\":\"{was}\"")), "{before}");
            }
        }
    }
}

#[tokio::test]
async fn columns_that_hold_no_text_cost_no_pass() {
    let file = File::new();
    file.sql(
        "INSERT INTO runs (id, job_name, state, started_at, payload) VALUES
            (4, x'00ff', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-300 seconds'), x'7b7d'),
            (5, 7, 'RUNNING', x'ff', 7), (6, CAST(x'ff' AS TEXT), 'RUNNING', CAST(x'ff' AS TEXT), 1.5)",
    );
    let mut store = file.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    assert_eq!(job(&observed, 5).name.as_deref(), Some("7"));
    assert_eq!(job(&observed, 5).started_at, TimeValue::UNREADABLE);
    assert_eq!(job(&observed, 6).started_at, TimeValue::UNREADABLE);
    let outcome = repair(&mut store, &repair_of(&observed, 4, Action::Fail)).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    assert_eq!(
        file.one::<String>("SELECT state || hex(payload) || typeof(payload) FROM runs WHERE id = 4"),
        "FAIL7B7Dblob"
    );
}

/// The repair of a job with any kind of key.
fn repair_by_key(snapshot: &Snapshot, key: &str, action: Action) -> Repair {
    let found = snapshot.rows.iter().find(|job| job.id.text() == key);
    Repair {
        action: action.repairing().expect("an action that repairs"),
        job: found
            .unwrap_or_else(|| panic!("{key} is not among {:?}", snapshot.rows))
            .clone(),
        reason: Phase::MissedFirst,
        deadline: DEADLINE,
        server: snapshot.server.clone(),
        start: StartCheck::Overdue,
        after_undo: None,
    }
}

#[tokio::test]
async fn keys_of_every_declared_type_are_found_again() {
    let kinds = [
        ("INTEGER", "-7", "-7"),
        ("BIGINT", "9223372036854775807", "9223372036854775807"),
        ("NUMERIC", "7", "7"),
        (
            "UUID",
            "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ),
        (
            "CHAR(32)",
            "'00012345678901234567890123456789'",
            "00012345678901234567890123456789",
        ),
        ("TEXT", "'007'", "007"),
        ("TEXT COLLATE NOCASE", "'Ab'", "Ab"),
        ("", "7", "7"),
        ("", "'seven'", "seven"),
    ];
    for (declared, literal, key) in kinds {
        let file = File::empty();
        file.sql(&format!("CREATE TABLE runs (id {declared} PRIMARY KEY, {COLUMNS})"));
        file.sql(&format!(
            "INSERT INTO runs (id, state, started_at) VALUES
                ({literal}, 'RUNNING', '2026-01-01 00:00:00.000000'), (1234, 'RUNNING', '2026-01-01 00:00:00.000000')"
        ));
        let mut store = file.store(Action::Backfill);
        let observed = snapshot(&mut store).await;
        let outcome = repair(&mut store, &repair_by_key(&observed, key, Action::Backfill)).await;
        assert!(
            matches!(outcome, Outcome::Repaired(_)),
            "{declared} {literal}: {outcome:?}"
        );
        assert_eq!(
            file.one::<i64>("SELECT count(last_heartbeat_at) FROM runs"),
            1,
            "{declared} {literal}"
        );
        file.sql(&format!("UPDATE runs SET state = 'SUCCESS' WHERE id = {literal}"));
        let request = ObserveRequest::whole(
            observed.rows.iter().map(|job| job.id.clone()).collect(),
            Coverage::Ordinary,
        );
        let after = store.observe(&request).await.unwrap();
        assert_eq!(
            repair_by_key(&after, key, Action::Backfill).job.state.as_deref(),
            Some("SUCCESS"),
            "{declared} {literal}"
        );
    }
}

#[tokio::test]
async fn times_of_every_format_are_copied_and_written_in_their_own_shape() {
    let cases = [
        (
            TimeFormat::EpochSeconds,
            "INTEGER",
            "unixepoch() - 120",
            "integer",
            "1790000000",
        ),
        (
            TimeFormat::EpochSeconds,
            "REAL",
            "unixepoch('now', 'subsec') - 120",
            "real",
            "1790000000.",
        ),
        (
            TimeFormat::EpochMillis,
            "INTEGER",
            "(unixepoch() - 120) * 1000",
            "integer",
            "1790000000000",
        ),
        (
            TimeFormat::Timestamp,
            "TEXT",
            "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-120 seconds')",
            "text",
            "2026-11-23T10:00:00.000000Z",
        ),
    ];
    for (format, declared, started, kind, like) in cases {
        for action in [Action::Backfill, Action::Fail] {
            let mut file = File::empty();
            file.mapping.time_format = format;
            file.sql(&format!(
                "CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name TEXT, state TEXT, started_at {declared}, ended_at {declared},
                    payload TEXT, last_heartbeat_at {declared});
                 INSERT INTO runs (id, state, started_at) VALUES (2, 'RUNNING', {started})"
            ));
            let mut store = file.store(action);
            let repair_2 = repair_of(&snapshot(&mut store).await, 2, action);
            let outcome = repair(&mut store, &repair_2).await;
            assert!(matches!(outcome, Outcome::Repaired(_)), "{format:?}: {outcome:?}");
            if action == Action::Backfill {
                assert!(
                    file.one::<bool>("SELECT last_heartbeat_at IS started_at FROM runs"),
                    "{format:?}"
                );
                assert_eq!(
                    file.one::<String>("SELECT typeof(last_heartbeat_at) FROM runs"),
                    kind,
                    "{format:?}"
                );
            } else {
                assert_eq!(
                    file.one::<String>("SELECT typeof(ended_at) FROM runs"),
                    kind,
                    "{format:?}"
                );
                let ended: String = file.one("SELECT CAST(ended_at AS TEXT) FROM runs");
                assert!(
                    ended.len() >= like.len() && ended.ends_with('Z') == like.ends_with('Z'),
                    "{format:?}: {ended}"
                );
                let known = repair_of(&snapshot(&mut file.store(action)).await, 2, action).job;
                let now = snapshot(&mut store).await.database_now;
                assert!(
                    known.ended_at.at().unwrap().age_at(now) < Duration::from_secs(10),
                    "{format:?}: {ended}"
                );
            }
        }
    }
}

#[tokio::test]
async fn hostile_column_names_are_only_names() {
    let mut file = File::empty();
    file.mapping.id = name("{{state}}");
    file.mapping.state = name("a\"; DROP TABLE runs; --");
    file.mapping.started_at = name("select").into();
    file.mapping.last_heartbeat_at = Some(name("{{id}} \"x\"").into());
    file.mapping.ended_at = Some(name("?1"));
    let quoted = |name: &Identifier| name.quoted();
    let of = &file.mapping;
    file.sql(&format!(
        "CREATE TABLE runs ({} INTEGER PRIMARY KEY, job_name TEXT, {} TEXT, {} TEXT, {} TEXT, {} TEXT, payload TEXT);
         INSERT INTO runs VALUES (2, 'b', 'RUNNING', '2026-01-01 00:00:00', NULL, NULL, NULL)",
        quoted(&of.id),
        quoted(&of.state),
        quoted(&of.started_at.column),
        quoted(of.own_heartbeat().unwrap()),
        of.ended_at.as_ref().map(quoted).unwrap(),
    ));
    let mut store = file.store(Action::Backfill);
    let observed = snapshot(&mut store).await;
    assert!(matches!(
        repair(&mut store, &repair_of(&observed, 2, Action::Backfill)).await,
        Outcome::Repaired(_)
    ));
    let mut store = file.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    assert_eq!(job(&observed, 2).heartbeat_at, job(&observed, 2).started_at);
    assert!(matches!(
        repair(&mut store, &repair_of(&observed, 2, Action::Fail)).await,
        Outcome::Repaired(_)
    ));
    assert_eq!(
        job(&snapshot(&mut file.store(Action::Observe)).await, 2)
            .state
            .as_deref(),
        Some("FAIL")
    );
}

#[tokio::test]
async fn the_ledger_has_the_promised_columns_indexes_and_times() {
    let file = File::new();
    let mut store = file.store(Action::Backfill);
    snapshot(&mut store).await;
    assert_eq!(
        file.one::<i64>("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'beatwarden%'"),
        0,
        "looking creates nothing"
    );
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Backfill);
    let id = made(repair(&mut store, &repair_2).await);
    let columns: String = file.one(
        "SELECT group_concat(name || ' ' || lower(type) || CASE pk WHEN 1 THEN ' key' ELSE '' END, ', ')
           FROM pragma_table_info('beatwarden_repairs')",
    );
    assert_eq!(
        columns,
        "repair_id text key, watch text, table_name text, job_id text, job_name text, reason text, action text, instance text, \
         started_at text, repaired_at text, before text, after text, outcome text, outcome_at text, acknowledged_at text, \
         undo_of text, version integer"
    );
    let indexes: String = file.one(
        "SELECT group_concat(columns, '; ') FROM (
            SELECT (SELECT group_concat(name) FROM pragma_index_info(list.name)) AS columns
              FROM pragma_index_list('beatwarden_repairs') AS list WHERE origin = 'c' ORDER BY columns)",
    );
    assert_eq!(
        indexes,
        "table_name,job_id; table_name,repaired_at; table_name,repaired_at; table_name,repaired_at"
    );
    let entry: String = file.one(
        "SELECT concat_ws('|', repair_id, watch, table_name, job_id, job_name, reason, action, instance, version, typeof(version),
            outcome IS NULL, outcome_at IS NULL, acknowledged_at IS NULL, undo_of IS NULL) FROM beatwarden_repairs",
    );
    let id = uuid::Uuid::from_u128(id.0);
    assert_eq!(
        entry,
        format!("{id}|meltano|runs|2|b|missed_first|backfill|test/1|2|integer|1|1|1|1")
    );
    let started: String = file.one("SELECT replace(started_at, ' ', 'T') || 'Z' FROM runs WHERE id = 2");
    assert_eq!(file.one::<String>("SELECT started_at FROM beatwarden_repairs"), started);
    let repaired: String = file.one("SELECT repaired_at FROM beatwarden_repairs");
    assert!(
        repaired.len() == 27 && repaired.ends_with('Z') && repaired.as_bytes()[10] == b'T',
        "{repaired}"
    );
    let after: String = file.one("SELECT after FROM beatwarden_repairs");
    let raw: String = file.one("SELECT started_at FROM runs WHERE id = 2");
    assert_eq!(after, format!("{{\"last_heartbeat_at\":\"{raw}\"}}"));
}

//! Meltano's table as tests and benchmarks configure it: what its states mean, its columns, and the rules of a watch.

use beatwarden::{
    domain::{Action, Noun, Policy, States, TimeFormat},
    mapping::{Ending, ErrorText, Identifier, Mapping, TableName},
};
use std::time::Duration;

/// Meltano's table on PostgreSQL.
#[allow(dead_code, reason = "not all ask a server")]
pub const TABLE: &str = "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp)";

pub fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn name(name: &str) -> Identifier {
    Identifier::new(name).expect("a name")
}

pub fn table(name: &str) -> TableName {
    TableName::parse(name).expect("a name")
}

pub fn states() -> States {
    States {
        running: list(&["RUNNING"]),
        success: list(&["SUCCESS"]),
        failure: list(&["FAIL", "DEAD"]),
        waiting: list(&["IDLE"]),
        ignore: list(&["STATE_EDIT"]),
        ..States::default()
    }
}

pub fn policy() -> Policy {
    Policy {
        watch: "meltano".into(),
        noun: Noun::default(),
        states: states(),
        init_deadline: Duration::from_secs(60),
        max_runtime: None,
        heartbeat_timeout: Duration::from_secs(300),
        seed_tolerance: Duration::from_millis(5),
        max_age: Duration::from_secs(7 * 86_400),
        init_window: Duration::from_secs(3600),
        action: Action::Backfill,
        fuse_min_jobs: 10,
        fuse_share: 0.5,
        max_per_pass: 100,
        writer_stale_after: Some(Duration::from_secs(300)),
        writer_stale_after_without_heartbeat: Some(Duration::from_secs(86_400)),
        by_hand: None,
    }
}

pub fn mapping() -> Mapping {
    Mapping {
        watch: "meltano".into(),
        table: table("runs"),
        ledger: table("beatwarden_repairs"),
        id: name("id"),
        job_name: Some(name("job_name")),
        state: name("state"),
        states: states(),
        only: Vec::new(),
        started_at: name("started_at").into(),
        last_heartbeat_at: Some(name("last_heartbeat_at").into()),
        max_runtime: None,
        ended_at: Some(name("ended_at")),
        time_format: TimeFormat::Timestamp,
        time_zone: "UTC".into(),
        error: Some(ErrorText {
            column: name("payload"),
            key: "error".into(),
        }),
        born_running: true,
        ending: Ending::default(),
    }
}

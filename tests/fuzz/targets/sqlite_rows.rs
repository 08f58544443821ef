//! Rows of a SQLite table with whatever values, read by the production store: no pass is lost, the jobs beside them are found, and no
//! name is longer than what is kept of one.
#![no_main]

#[path = "../../support/runs.rs"]
#[allow(dead_code, reason = "it needs a part of it")]
mod runs;

use beatwarden::{
    domain::{Action, Coverage, DiscoverySetting, JobId},
    store::{
        ObserveRequest, Store,
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use libfuzzer_sys::fuzz_target;
use rusqlite::{
    Connection, ToSql,
    types::{Null, Value},
};
use std::{cell::LazyCell, env, path::PathBuf, process, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// Keys of two jobs that are as they should be, before and behind the others.
const NEIGHBOURS: [i64; 2] = [i64::MIN + 1, i64::MAX];

struct Scene {
    runtime: Runtime,
    table: Connection,
    path: PathBuf,
}

thread_local! {
    static SCENE: LazyCell<Scene> = LazyCell::new(|| {
        let path = env::temp_dir().join(format!("{}.db", process::id()));
        let table = Connection::open(&path).expect("a file");
        table
            .execute_batch(
                "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;
                 CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name, state, started_at, ended_at, payload, last_heartbeat_at)",
            )
            .expect("a table");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Scene { runtime, table, path }
    });
}

fuzz_target!(|bytes: &[u8]| {
    SCENE.with(|scene| {
        scene.fill(bytes);
        let path = scene.path.clone();
        let mut store = SqliteStore::new(SqliteSettings {
            address: Box::new(move || Ok(path.clone())),
            mapping: runs::mapping(),
            action: Action::Observe,
            poll_timeout: Duration::from_secs(10),
            seed_tolerance: Duration::from_millis(5),
            instance: "fuzz/1".into(),
            discovery: DiscoverySetting::State,
        });
        let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
        let snapshot = scene.runtime.block_on(store.observe(&request));
        let snapshot = snapshot.unwrap_or_else(|error| panic!("a lost pass: {}", error.chain()));
        for key in NEIGHBOURS {
            let id = JobId::new(key.to_string());
            assert!(snapshot.rows.iter().any(|row| row.id == id), "{key} is not found");
        }
        assert!(
            snapshot
                .rows
                .iter()
                .all(|row| row.name.as_ref().is_none_or(|name| name.chars().count() <= 1000))
        );
    });
});

impl Scene {
    /// The neighbours, and rows between them: each value is a line, whose first byte is its kind.
    fn fill(&self, bytes: &[u8]) {
        let insert = "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at, ended_at, payload)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let good = |text: &str| Value::Text(text.to_owned());
        self.table.execute_batch("BEGIN; DELETE FROM runs").expect("emptied");
        let add = |key: i64, values: &[Value]| {
            let mut parameters: Vec<&dyn ToSql> = vec![&key];
            parameters.extend(values.iter().map(|value| value as &dyn ToSql));
            parameters.resize(7, &Null);
            let _ = self.table.execute(insert, &parameters[..]).expect("a row");
        };
        for key in NEIGHBOURS {
            add(key, &[good("job"), good("RUNNING"), good("2026-01-01 12:00:00.000000")]);
        }
        let values: Vec<Value> = bytes.split(|byte| *byte == b'\n').map(value).collect();
        for (key, row) in (1..).zip(values.chunks(6).take(20)) {
            add(key, row);
        }
        self.table.execute_batch("COMMIT").expect("committed");
    }
}

fn value(line: &[u8]) -> Value {
    let Some((kind, rest)) = line.split_first() else {
        return Value::Null;
    };
    let number = || {
        let mut bytes = [0; 8];
        let most = rest.len().min(8);
        bytes[..most].copy_from_slice(&rest[..most]);
        bytes
    };
    match kind {
        b'i' => Value::Integer(i64::from_le_bytes(number())),
        b'r' => Value::Real(f64::from_le_bytes(number())),
        b'b' => Value::Blob(rest.to_vec()),
        b'R' => Value::Text("RUNNING".to_owned()),
        _ => Value::Text(String::from_utf8_lossy(line).into_owned()),
    }
}

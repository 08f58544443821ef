//! A table of hostile rows with a dead job before and one behind them, on either database.

use crate::{
    hostile::values::{HostileRow, Shape},
    support::{
        Session,
        postgres::{self, TestDatabase},
        runs, stores,
    },
};
use beatwarden::{
    domain::Action,
    mapping::Mapping,
    store::{
        DiscoverySetting, Store, TimeFormat,
        postgres::{PostgresSettings, PostgresStore},
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use std::{collections::BTreeMap, time::Duration};
use tempfile::TempDir;

/// The key of the first hostile row; below it and far above it stand the neighbours.
const FIRST: usize = 10;
const BEHIND: usize = 1_000;

pub trait Bed {
    async fn insert(&self, rows: &[HostileRow]);
    /// Every row in a text of its own, by key; the hostile ones alone.
    async fn rows(&self) -> BTreeMap<usize, String>;
    async fn neighbours_are_repaired(&self, action: Action) -> bool;
    fn store(&self, action: Action) -> impl Store;
}

fn mapping(shape: Shape) -> Mapping {
    Mapping {
        watch: "hostile".into(),
        time_format: match shape {
            Shape::Timestamps | Shape::Zoned | Shape::SqliteTexts => TimeFormat::Timestamp,
            Shape::Doubles | Shape::Numerics | Shape::Integers | Shape::SqliteNumbers => TimeFormat::EpochSeconds,
        },
        ..runs::mapping()
    }
}

/// Statements that put the rows between their neighbours.
fn inserts(shape: Shape, rows: &[HostileRow]) -> Vec<String> {
    let insert = |key: usize, values: &str| {
        format!(
            "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at, ended_at, payload) VALUES ({key}, {values})"
        )
    };
    let dead = format!("'dead', 'RUNNING', {}, NULL, NULL, NULL", shape.ago(300));
    let hostile = rows.iter().enumerate().map(|(place, row)| {
        let [start, beat, end] = &row.times;
        let values = format!(
            "{}, {}, {}, {}, {}, {}",
            row.name, row.state.0, start.sql, beat.sql, end.sql, row.payload
        );
        insert(FIRST + place, &values)
    });
    let mut all = vec![insert(1, &dead)];
    all.extend(hostile);
    all.push(insert(BEHIND, &dead));
    all
}

fn neighbours_repaired(action: Action) -> String {
    let repaired = match action {
        Action::Fail => "state = 'FAIL'",
        Action::Backfill | Action::Observe => "last_heartbeat_at IS NOT NULL",
    };
    format!("SELECT count(*) FROM runs WHERE id IN (1, {BEHIND}) AND {repaired}")
}

pub struct PostgresBed {
    shape: Shape,
    database: TestDatabase,
    client: tokio_postgres::Client,
}

impl PostgresBed {
    pub async fn new(shape: Shape) -> Self {
        let database = postgres::shared().database().await;
        let client = database.client().await;
        let time = match shape {
            Shape::Zoned => "timestamptz",
            Shape::Doubles => "double precision",
            Shape::Numerics => "numeric",
            Shape::Integers => "bigint",
            _ => "timestamp",
        };
        let table = format!(
            "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at {time}, ended_at {time},
                payload varchar, last_heartbeat_at {time})"
        );
        client.run(&table).await;
        Self {
            shape,
            database,
            client,
        }
    }
}

impl Bed for PostgresBed {
    async fn insert(&self, rows: &[HostileRow]) {
        self.client.run("SET extra_float_digits = 3").await;
        let all = inserts(self.shape, rows);
        let all = format!("BEGIN; {}; COMMIT", all.join(";\n"));
        let inserted = self.client.batch_execute(&all).await;
        inserted.unwrap_or_else(|error| panic!("the test's own rows: {error:?}"));
    }

    async fn rows(&self) -> BTreeMap<usize, String> {
        let question = format!("SELECT id, runs::text FROM runs WHERE id BETWEEN {FIRST} AND {BEHIND} - 1 ORDER BY id");
        let rows = self.client.query(&question, &[]).await.unwrap();
        rows.iter()
            .map(|row| (usize::try_from(row.get::<_, i32>(0)).unwrap(), row.get(1)))
            .collect()
    }

    async fn neighbours_are_repaired(&self, action: Action) -> bool {
        let row = self.client.query_one(&neighbours_repaired(action), &[]).await.unwrap();
        row.get::<_, i64>(0) == 2
    }

    fn store(&self, action: Action) -> impl Store {
        let settings = stores::on_server(&self.database.url, mapping(self.shape), action);
        PostgresStore::new(PostgresSettings {
            discovery: DiscoverySetting::State,
            ..settings
        })
    }
}

pub struct SqliteBed {
    shape: Shape,
    folder: TempDir,
}

impl SqliteBed {
    pub fn new(shape: Shape) -> Self {
        let bed = Self {
            shape,
            folder: tempfile::tempdir().unwrap(),
        };
        // Columns without a type keep whatever they are given.
        let time = if shape == Shape::SqliteTexts { "DATETIME" } else { "" };
        bed.connection()
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name, state, started_at {time}, ended_at {time}, payload,
                    last_heartbeat_at {time})"
            ))
            .unwrap();
        bed
    }

    fn connection(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join("jobs.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }
}

impl Bed for SqliteBed {
    async fn insert(&self, rows: &[HostileRow]) {
        let all = inserts(self.shape, rows);
        let all = format!("BEGIN; {}; COMMIT", all.join(";\n"));
        self.connection().execute_batch(&all).unwrap();
    }

    async fn rows(&self) -> BTreeMap<usize, String> {
        let connection = self.connection();
        let question = format!(
            "SELECT id, quote(job_name) || quote(hex(job_name)) || quote(state) || quote(hex(state)) || quote(started_at)
                || quote(ended_at) || quote(hex(payload)) || typeof(payload) || quote(last_heartbeat_at)
               FROM runs WHERE id BETWEEN {FIRST} AND {BEHIND} - 1 ORDER BY id"
        );
        let mut statement = connection.prepare(&question).unwrap();
        let rows = statement
            .query_map([], |row| {
                let text = String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned();
                Ok((usize::try_from(row.get::<_, i64>(0)?).unwrap(), text))
            })
            .unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    async fn neighbours_are_repaired(&self, action: Action) -> bool {
        let count = self
            .connection()
            .query_row(&neighbours_repaired(action), [], |row| row.get::<_, i64>(0));
        count.unwrap() == 2
    }

    fn store(&self, action: Action) -> impl Store {
        let settings = stores::on_file(&self.folder.path().join("jobs.db"), mapping(self.shape), action);
        SqliteStore::new(SqliteSettings {
            discovery: DiscoverySetting::State,
            ..settings
        })
    }
}

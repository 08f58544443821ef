//! The beds of the contract tests: a job table like Meltano's on a database of its own, and the writer's side of it.

use crate::support::{
    Session, eventually,
    postgres::{self, TestDatabase},
    runs, stores,
};
use beatwarden::{
    domain::Action,
    mapping::Mapping,
    store::{
        DiscoverySetting, Ledger, Store,
        postgres::{PostgresSettings, PostgresStore},
        sqlite::{SqliteSettings, SqliteStore},
        survey::Surveyed,
    },
};
use std::{collections::BTreeMap, future::Future, time::Duration};
use tempfile::TempDir;

pub use crate::support::runs::mapping;

/// A row as text, column by column.
pub type WholeRow = BTreeMap<String, Option<String>>;

/// A row that the writer writes; times in seconds from now.
pub struct Written {
    pub id: u32,
    pub name: String,
    pub state: String,
    pub started: Option<f64>,
    pub beat: Option<f64>,
    pub ended: Option<f64>,
    pub payload: Option<String>,
}

impl Written {
    pub fn running(id: u32) -> Self {
        Self {
            id,
            name: format!("pipeline-{id}"),
            state: "RUNNING".into(),
            started: None,
            beat: None,
            ended: None,
            payload: None,
        }
    }

    pub fn state(mut self, state: &str) -> Self {
        self.state = state.into();
        self
    }

    pub fn started(mut self, seconds: f64) -> Self {
        self.started = Some(seconds);
        self
    }

    pub fn beat(mut self, seconds: f64) -> Self {
        self.beat = Some(seconds);
        self
    }

    pub fn ended(mut self, seconds: f64) -> Self {
        self.ended = Some(seconds);
        self
    }

    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.into());
        self
    }

    fn insert(&self, time: impl Fn(f64) -> String) -> String {
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let moment = |seconds: Option<f64>| seconds.map_or_else(|| "NULL".to_owned(), &time);
        format!(
            "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at, ended_at, payload, payload_flags, \"trigger\") \
             VALUES ({}, {}, {}, {}, {}, {}, {}, 0, 'test')",
            self.id,
            text(&self.name),
            text(&self.state),
            moment(self.started),
            moment(self.beat),
            moment(self.ended),
            self.payload.as_deref().map_or_else(|| "NULL".to_owned(), text),
        )
    }
}

/// Something that another session holds until it is released.
pub trait Held {
    fn release(self) -> impl Future<Output = ()>;
}

/// One database with one job table.
pub trait Bed {
    type Store: Store + Ledger + Surveyed;
    type Held: Held;
    type Session: Session;

    /// A connection of the writer's own.
    async fn session(&self) -> Self::Session;
    /// How many repairs of a job the ledger has.
    async fn count_repairs(&self, id: u32) -> i64;

    /// A watchdog's store on it; each call another replica.
    fn store(&self, action: Action) -> Self::Store {
        self.store_with(mapping(), action)
    }
    /// The same, finding running jobs in that way.
    fn store_by(&self, action: Action, discovery: DiscoverySetting) -> Self::Store {
        self.store_of(mapping(), action, discovery)
    }
    /// A store by another mapping: another replica that is configured in another way.
    fn store_with(&self, mapping: Mapping, action: Action) -> Self::Store {
        self.store_of(mapping, action, DiscoverySetting::Auto)
    }
    /// A store on a table whose rows are not born running.
    fn store_not_born_running(&self) -> Self::Store {
        self.store_of(not_born_running(), Action::Observe, DiscoverySetting::KeyTail)
    }
    fn store_of(&self, mapping: Mapping, action: Action, discovery: DiscoverySetting) -> Self::Store;
    /// The table's name as another configuration may write it.
    fn other_spelling(&self) -> &'static str;
    /// The writer, or a person, runs a statement.
    async fn sql(&self, statement: &str);
    /// All rows, ordered by key.
    async fn rows(&self) -> Vec<WholeRow>;
    /// The expression for a time that many seconds from now, as the writer writes it.
    fn time(&self, seconds: f64) -> String;
    /// Expressions for times that can't be read.
    fn odd_times(&self) -> Vec<&'static str>;
    /// Another session takes the row's lock, or the file's.
    async fn hold_row(&self, id: u32) -> Self::Held;
    /// The statement that adds so many jobs that have ended, above key 1.
    fn many_ended(&self, count: u32) -> String;
    /// A ledger of the first layout with one entry, as the version that wrote it left it.
    fn first_layout(&self) -> &'static str;
    /// How many indexes of the ledger have this word in their name.
    async fn count(&self, word: &str) -> i64;
    /// Whether a writer locks the whole file, and not a row.
    fn locks_the_file(&self) -> bool;
    /// From here on every insert into the ledger fails with "no entry today".
    async fn refuse_ledger(&self);
    /// The statement by which each new job gets a row in `beats`, which is made later, at its start.
    fn a_beat_with_each_start(&self) -> &'static str;

    async fn write(&self, row: &Written) {
        self.sql(&row.insert(|seconds| self.time(seconds))).await;
    }
}

fn not_born_running() -> Mapping {
    Mapping {
        born_running: false,
        ..mapping()
    }
}

/// PostgreSQL: a database of the shared cluster, in a zone far from UTC so that a wrong one shows.
pub struct PostgresBed {
    database: TestDatabase,
    client: tokio_postgres::Client,
}

impl PostgresBed {
    pub async fn new() -> Self {
        let database = postgres::shared().database().await;
        let client = database.client().await;
        let zone = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Kolkata''', current_database()); END $$";
        client.run(zone).await;
        client.run(runs::TABLE).await;
        Self { database, client }
    }

    /// A store that calls `asked` whenever it reads its address.
    pub fn store_asking(&self, poll_timeout: Duration, asked: impl Fn() + Send + Sync + 'static) -> PostgresStore {
        let settings = stores::on_server(&self.database.url, mapping(), Action::Backfill);
        let address = move || {
            asked();
            (settings.address)()
        };
        PostgresStore::new(PostgresSettings {
            address: Box::new(address),
            poll_timeout,
            ..settings
        })
    }

    /// A store that reaches the database by another address.
    pub fn store_through(&self, address: std::net::SocketAddr, action: Action) -> PostgresStore {
        self.store_of_through(address, mapping(), action)
    }

    /// The same of another table.
    pub fn store_of_through(&self, address: std::net::SocketAddr, mapping: Mapping, action: Action) -> PostgresStore {
        let database = self.database.url.rsplit('/').next().unwrap();
        let url = format!("postgres://postgres@{address}/{database}");
        PostgresStore::new(stores::on_server(&url, mapping, action))
    }

    /// Ends every other session of this database.
    pub async fn end_sessions(&self) {
        let others = "FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.sql(&format!("SELECT pg_terminate_backend(pid) {others}")).await;
        let count = format!("SELECT count(*) {others}");
        let all_gone = async || (self.number(&count).await == 0).then_some(());
        eventually("the sessions end", Duration::from_secs(60), all_gone).await;
    }

    /// A role that may log in, with these rights besides; `{role}` stands for its name.
    pub async fn role(&self, rights: &str) -> String {
        let role = format!("role_of_{}", self.database.url.rsplit('/').next().unwrap());
        self.sql(&format!(
            "CREATE ROLE {role} LOGIN; {}",
            rights.replace("{role}", &role)
        ))
        .await;
        role
    }

    /// A store of another role.
    pub fn store_as(&self, role: &str, mapping: Mapping, action: Action) -> PostgresStore {
        let url = self.database.url.replacen("postgres@", &format!("{role}@"), 1);
        PostgresStore::new(stores::on_server(&url, mapping, action))
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        postgres::shared().port()
    }

    /// The number that a statement returns.
    pub async fn number(&self, statement: &str) -> i64 {
        self.client.query_one(statement, &[]).await.unwrap().get(0)
    }

    /// Another session that has run a statement in a transaction, and not committed.
    pub async fn client_in_transaction(&self, statement: &str) -> tokio_postgres::Client {
        let client = self.database.client().await;
        client.run(&format!("BEGIN; {statement}")).await;
        client
    }
}

/// A row lock on PostgreSQL.
pub struct HeldRow(tokio_postgres::Client);

impl Held for HeldRow {
    async fn release(self) {
        self.0.run("ROLLBACK").await;
    }
}

impl Bed for PostgresBed {
    type Store = PostgresStore;
    type Held = HeldRow;
    type Session = tokio_postgres::Client;

    async fn session(&self) -> tokio_postgres::Client {
        self.database.client().await
    }

    fn locks_the_file(&self) -> bool {
        false
    }

    async fn count_repairs(&self, id: u32) -> i64 {
        let sql = "SELECT count(*) FROM beatwarden_repairs WHERE job_id = $1";
        self.client.query_one(sql, &[&id.to_string()]).await.unwrap().get(0)
    }

    fn store_of(&self, mapping: Mapping, action: Action, discovery: DiscoverySetting) -> PostgresStore {
        let settings = stores::on_server(&self.database.url, mapping, action);
        PostgresStore::new(PostgresSettings { discovery, ..settings })
    }

    fn other_spelling(&self) -> &'static str {
        "public.runs"
    }

    fn many_ended(&self, count: u32) -> String {
        let last = count + 1;
        format!("INSERT INTO runs (id, state) SELECT i, 'SUCCESS' FROM generate_series(2, {last}) AS i; ANALYZE runs")
    }

    async fn sql(&self, statement: &str) {
        self.client.run(statement).await;
    }

    async fn rows(&self) -> Vec<WholeRow> {
        let rows = self
            .client
            .query("SELECT row_to_json(runs)::text FROM runs ORDER BY id", &[])
            .await
            .unwrap();
        let whole = |row: &tokio_postgres::Row| -> WholeRow {
            let columns: BTreeMap<String, serde_json::Value> = serde_json::from_str(row.get(0)).unwrap();
            columns
                .into_iter()
                .map(|(name, value)| {
                    let text = match value {
                        serde_json::Value::Null => None,
                        serde_json::Value::String(text) => Some(text),
                        other => Some(other.to_string()),
                    };
                    (name, text)
                })
                .collect()
        };
        rows.iter().map(whole).collect()
    }

    fn time(&self, seconds: f64) -> String {
        format!("(clock_timestamp() AT TIME ZONE 'UTC' + interval '{seconds} s')")
    }

    fn odd_times(&self) -> Vec<&'static str> {
        vec![
            "'infinity'",
            "'-infinity'",
            "'294276-12-31 23:59:59'",
            "'4713-01-01 BC'",
            "'1969-12-31'",
            "'10000-01-01'",
        ]
    }

    async fn hold_row(&self, id: u32) -> HeldRow {
        let client = self.database.client().await;
        client
            .run(&format!("BEGIN; SELECT 1 FROM runs WHERE id = {id} FOR UPDATE"))
            .await;
        HeldRow(client)
    }

    fn first_layout(&self) -> &'static str {
        include_str!("ledger_1.postgres.sql")
    }

    async fn count(&self, word: &str) -> i64 {
        let sql =
            "SELECT count(*) FROM pg_indexes WHERE tablename = 'beatwarden_repairs' AND strpos(indexname, $1) > 0";
        self.client.query_one(sql, &[&word]).await.unwrap().get(0)
    }

    fn a_beat_with_each_start(&self) -> &'static str {
        "CREATE FUNCTION seed() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO beats VALUES (NEW.id, NEW.started_at); RETURN NULL; END $$;
         CREATE TRIGGER seed AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION seed()"
    }

    async fn refuse_ledger(&self) {
        self.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no entry today'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON beatwarden_repairs FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    }
}

/// SQLite: a file of its own in WAL mode, as Meltano has it.
pub struct SqliteBed {
    folder: TempDir,
}

impl SqliteBed {
    pub async fn new() -> Self {
        let bed = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        bed.sql(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name VARCHAR, state VARCHAR, started_at DATETIME,
                ended_at DATETIME, payload VARCHAR, payload_flags INTEGER, run_id CHAR(32), \"trigger\" VARCHAR,
                last_heartbeat_at DATETIME)",
        )
        .await;
        bed
    }

    fn connection(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join("jobs.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }
}

/// The write lock of a SQLite file.
pub struct HeldFile(rusqlite::Connection);

impl Held for HeldFile {
    async fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

impl Bed for SqliteBed {
    type Store = SqliteStore;
    type Held = HeldFile;
    type Session = rusqlite::Connection;

    async fn session(&self) -> rusqlite::Connection {
        self.connection()
    }

    fn locks_the_file(&self) -> bool {
        true
    }

    async fn count_repairs(&self, id: u32) -> i64 {
        let sql = "SELECT count(*) FROM beatwarden_repairs WHERE job_id = ?1";
        let count = self.connection().query_row(sql, [id.to_string()], |row| row.get(0));
        count.unwrap()
    }

    fn store_of(&self, mapping: Mapping, action: Action, discovery: DiscoverySetting) -> SqliteStore {
        let settings = stores::on_file(&self.folder.path().join("jobs.db"), mapping, action);
        SqliteStore::new(SqliteSettings { discovery, ..settings })
    }

    fn other_spelling(&self) -> &'static str {
        "main.RUNS"
    }

    fn many_ended(&self, count: u32) -> String {
        let last = count + 1;
        format!(
            "INSERT INTO runs (id, state) WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {last})
             SELECT i, 'SUCCESS' FROM n"
        )
    }

    async fn sql(&self, statement: &str) {
        self.connection().execute_batch(statement).unwrap();
    }

    async fn rows(&self) -> Vec<WholeRow> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT * FROM runs ORDER BY id").unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let rows = statement
            .query_map([], |row| {
                let text = |index: usize| -> rusqlite::Result<Option<String>> {
                    Ok(match row.get_ref(index)? {
                        rusqlite::types::ValueRef::Null => None,
                        rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
                        rusqlite::types::ValueRef::Real(number) => Some(number.to_string()),
                        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
                            Some(String::from_utf8_lossy(bytes).into_owned())
                        }
                    })
                };
                names
                    .iter()
                    .enumerate()
                    .map(|(index, name)| Ok((name.clone(), text(index)?)))
                    .collect::<rusqlite::Result<WholeRow>>()
            })
            .unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    fn time(&self, seconds: f64) -> String {
        format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds} seconds')")
    }

    fn odd_times(&self) -> Vec<&'static str> {
        vec![
            "'infinity'",
            "'soon'",
            "''",
            "12345",
            "x'00ff'",
            "'1969-12-31 23:59:59'",
            "1e300",
        ]
    }

    async fn hold_row(&self, _id: u32) -> HeldFile {
        let connection = self.connection();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        HeldFile(connection)
    }

    fn first_layout(&self) -> &'static str {
        include_str!("ledger_1.sqlite.sql")
    }

    async fn count(&self, word: &str) -> i64 {
        let sql = "SELECT count(*) FROM pragma_index_list('beatwarden_repairs') WHERE instr(name, ?1) > 0";
        self.connection().query_row(sql, [word], |row| row.get(0)).unwrap()
    }

    fn a_beat_with_each_start(&self) -> &'static str {
        "CREATE TRIGGER seed AFTER INSERT ON runs BEGIN INSERT INTO beats VALUES (NEW.id, NEW.started_at); END"
    }

    async fn refuse_ledger(&self) {
        self.sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON beatwarden_repairs BEGIN SELECT RAISE(ABORT, 'no entry today'); END",
        )
        .await;
    }
}

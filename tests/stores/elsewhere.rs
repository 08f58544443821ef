//! Times that stand in another table, rows that are no jobs, and states that are NULL: read as the configuration says, on both
//! databases. The tables are those of real job systems.

mod ranged;

use crate::support::{
    Session,
    postgres::{self, TestDatabase},
    written,
};
use beatwarden::{
    app::{self, AnyStore},
    config::{Config, DatabaseSource, Loaded, Secret, Sources},
    domain::{Access, Cause, Coverage, Heartbeat, Job, Newcomers, Snapshot, StateKind, TimeValue},
    store::{ObserveRequest, Store, StoreError, survey::Surveyed},
};
use std::time::Duration;
use tempfile::TempDir;

const TOLERANCE: Duration = Duration::from_millis(5);

/// A database with the tables of one job system.
enum Place {
    Postgres(TestDatabase, tokio_postgres::Client),
    Sqlite(TempDir),
}

impl Place {
    /// Both kinds. PostgreSQL's is in a zone of its own, so that a wrong one shows.
    async fn both() -> [Self; 2] {
        let database = postgres::shared().database().await;
        let client = database.client().await;
        let zone = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Europe/Berlin''', current_database()); END $$";
        client.run(zone).await;
        let client = database.client().await;
        [
            Self::Postgres(database, client),
            Self::Sqlite(tempfile::tempdir().unwrap()),
        ]
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(database, _) => database.url.clone(),
            Self::Sqlite(folder) => format!("sqlite:///{}", folder.path().join("jobs.db").display()),
        }
    }

    async fn sql(&self, statement: &str) {
        match self {
            Self::Postgres(_, client) => client.run(statement).await,
            Self::Sqlite(folder) => {
                let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
                connection.execute_batch(statement).unwrap();
            }
        }
    }

    /// Some seconds from now, as a timestamp without a zone: in UTC, or in the server's zone.
    fn utc(&self, seconds: f64) -> String {
        match self {
            Self::Postgres(..) => format!("(now() AT TIME ZONE 'UTC' + interval '{seconds} s')"),
            Self::Sqlite(_) => format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds} seconds')"),
        }
    }

    fn local(&self, seconds: f64) -> String {
        match self {
            Self::Postgres(..) => format!("(localtimestamp + interval '{seconds} s')"),
            // A file's own times are in UTC.
            Self::Sqlite(_) => self.utc(seconds),
        }
    }

    fn load(&self, table: &str) -> Result<Loaded, String> {
        let text = format!("[[watch]]\nname = \"jobs\"\ndatabase = \"{}\"\n{table}", self.url());
        let (_folder, file) = written("beatwarden.toml", text);
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        Config::load(&sources).map_err(|mistakes| mistakes.to_string())
    }

    fn store(&self, table: &str) -> AnyStore {
        let loaded = self.load(table).unwrap();
        app::store_of(&loaded.config.watches[0]).unwrap()
    }

    async fn refusal(&self, table: &str) -> String {
        let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
        let error: StoreError = self.store(table).observe(&request).await.unwrap_err();
        error.chain().to_string()
    }
}

async fn look(store: &mut AnyStore, known: &[&str], coverage: Coverage) -> Snapshot {
    let known = known.iter().map(beatwarden::domain::JobId::new).collect();
    let request = ObserveRequest::whole(known, coverage);
    let seen = store.observe(&request).await;
    seen.unwrap_or_else(|error| panic!("{}", error.chain()))
}

async fn observe(store: &mut AnyStore) -> Snapshot {
    look(store, &[], Coverage::Full).await
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    snapshot.rows.iter().map(|job| job.id.to_string()).collect()
}

fn job<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Job {
    let found = snapshot.rows.iter().find(|job| job.id.text() == id);
    found.unwrap_or_else(|| panic!("{id} is not among {:?}", snapshot.rows))
}

/// Some seconds ago, give or take what a busy machine needs.
fn is_ago(snapshot: &Snapshot, time: TimeValue, seconds: f64) -> bool {
    let at = time.at().unwrap_or_else(|| panic!("no time: {time:?}"));
    (snapshot.database_now.micros_since(at) as f64 / 1e6 - seconds).abs() < 20.0
}

const OPTUNA: &str = r#"
[watch.table]
name = "trials"
id = "trial_id"
born_running = true
state = "state"
running = ["RUNNING"]
success = ["COMPLETE", "PRUNED"]
failure = ["FAIL"]
waiting = ["WAITING"]
started_at = "datetime_start"
last_heartbeat_at = { table = "trial_heartbeats", key = "trial_id", column = "heartbeat", time_zone = "server" }
ended_at = "datetime_complete"
"#;

async fn optuna(place: &Place) {
    let naive = match place {
        Place::Postgres(..) => "timestamp",
        Place::Sqlite(_) => "DATETIME",
    };
    let (utc, local) = (place.utc(-100.0), place.local(-30.0));
    place
        .sql(&format!(
            "CREATE TABLE trials (trial_id integer PRIMARY KEY, study_id integer, state varchar(8), datetime_start {naive},
                 datetime_complete {naive});
             CREATE TABLE trial_heartbeats (trial_heartbeat_id integer PRIMARY KEY, trial_id integer UNIQUE NOT NULL REFERENCES trials,
                 heartbeat {naive} NOT NULL);
             INSERT INTO trials VALUES (1, 1, 'COMPLETE', {utc}, {utc}), (2, 1, 'RUNNING', {utc}, NULL), (3, 1, 'RUNNING', {utc}, NULL);
             INSERT INTO trial_heartbeats VALUES (1, 1, {utc}), (2, 3, {local})"
        ))
        .await;
}

#[tokio::test]
async fn a_heartbeat_in_a_table_of_its_own_is_read_for_each_running_job() {
    for place in Place::both().await {
        optuna(&place).await;
        let mut store = place.store(OPTUNA);
        let seen = observe(&mut store).await;
        assert_eq!(seen.obstacles, []);
        let silent = job(&seen, "2");
        assert!(is_ago(&seen, silent.started_at, 100.0), "{silent:?}");
        assert_eq!(silent.heartbeat(TOLERANCE), Heartbeat::Absent);
        let beating = job(&seen, "3");
        assert!(is_ago(&seen, beating.heartbeat_at, 30.0), "{beating:?}");
        assert_eq!(seen.newcomers, Newcomers::Followed);
        // The first heartbeat row appears: what a false repair is found by.
        let local = place.local(-10.0);
        place
            .sql(&format!(
                "INSERT INTO trial_heartbeats VALUES (3, 2, {local}); UPDATE trials SET state = 'FAIL' WHERE trial_id = 2"
            ))
            .await;
        let seen = look(&mut store, &["2", "3"], Coverage::Ordinary).await;
        let late = job(&seen, "2");
        assert!(is_ago(&seen, late.heartbeat_at, 10.0), "{late:?}");
        assert_eq!(late.state.as_deref(), Some("FAIL"));
    }
}

/// The newest good runs, each with its key and whether it has a heartbeat.
async fn good_runs(store: &mut AnyStore) -> Vec<(i64, bool)> {
    let runs = store.good_runs().await;
    let runs = runs.unwrap_or_else(|error| panic!("{}", error.chain()));
    let shown = runs
        .iter()
        .map(|job| (job.id.number().unwrap(), job.heartbeat_at.at().is_some()));
    shown.collect()
}

#[tokio::test]
async fn the_newest_good_runs_are_read_with_their_heartbeats_among_a_million() {
    for place in Place::both().await {
        optuna(&place).await;
        let mut store = place.store(&OPTUNA.replace("born_running = true\n", ""));
        assert_eq!(good_runs(&mut store).await, [(1, true)]);
        let old = place.utc(-1000.0);
        place
            .sql(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
                 INSERT INTO trials SELECT i, 1, CASE WHEN i % 2 = 0 THEN 'COMPLETE' ELSE 'FAIL' END, {old}, {old} FROM n"
            ))
            .await;
        let expected: Vec<_> = (0..20).map(|n| (1_000_000 - 2 * n, false)).collect();
        assert_eq!(good_runs(&mut store).await, expected);
    }
}

#[tokio::test]
async fn a_small_other_table_is_no_scan_of_the_jobs() {
    for place in Place::both().await {
        optuna(&place).await;
        let by_state = OPTUNA.replace("born_running = true\n", "");
        let access = async || observe(&mut place.store(&by_state)).await.access;
        // SQLite takes states for evenly spread, and would do without the index if it knew how many there are.
        let analyze = if matches!(place, Place::Postgres(..)) {
            "ANALYZE"
        } else {
            ""
        };
        let old = place.utc(-1000.0);
        place
            .sql(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 INSERT INTO trials SELECT i, 1, 'COMPLETE', {old}, {old} FROM n; {analyze}"
            ))
            .await;
        assert_eq!(access().await, Access::Scan);
        place
            .sql(&format!("CREATE INDEX by_state ON trials (state); {analyze}"))
            .await;
        assert_eq!(access().await, Access::Index);
    }
}

const PROCRASTINATE: &str = r#"
[watch.table]
name = "procrastinate_jobs"
id = "id"
job_name = "task_name"
state = "status"
running = ["doing"]
success = ["succeeded"]
failure = ["failed"]
waiting = ["todo"]
started_at = { table = "procrastinate_events", key = "job_id", column = "at", where = { type = ["started"] } }
last_heartbeat_at = { table = "procrastinate_workers", key = "id", match = "worker_id", column = "last_heartbeat" }
"#;

#[tokio::test]
async fn start_and_heartbeat_may_each_be_in_another_table() {
    for place in Place::both().await {
        let (kind, zoned) = match place {
            Place::Postgres(..) => {
                place
                    .sql("CREATE TYPE kind AS ENUM ('deferred', 'started', 'succeeded')")
                    .await;
                ("kind", "timestamptz")
            }
            Place::Sqlite(_) => ("TEXT", "TEXT"),
        };
        let at = |seconds| match place {
            Place::Postgres(..) => format!("now() + interval '{seconds} s'"),
            Place::Sqlite(_) => place.utc(f64::from(seconds)),
        };
        let (deferred, first, second, beat) = (at(-5), at(-300), at(-200), at(-4));
        place
            .sql(&format!(
                "CREATE TABLE procrastinate_workers (id bigint PRIMARY KEY, last_heartbeat {zoned} NOT NULL);
                 CREATE TABLE procrastinate_jobs (id bigint PRIMARY KEY, task_name varchar(128), status varchar(20), worker_id bigint);
                 CREATE TABLE procrastinate_events (id bigint PRIMARY KEY, job_id bigint NOT NULL, type {kind}, at {zoned});
                 CREATE INDEX events_by_job ON procrastinate_events (job_id);
                 INSERT INTO procrastinate_workers VALUES (7, {beat});
                 INSERT INTO procrastinate_jobs VALUES (1, 'a', 'doing', 7), (2, 'b', 'doing', 8), (3, 'c', 'doing', NULL), (4, 'd', 'todo', NULL);
                 INSERT INTO procrastinate_events VALUES (1, 1, 'started', {first}), (2, 1, 'started', {second}), (3, 1, 'deferred', {deferred}),
                     (4, 2, 'started', {first})"
            ))
            .await;
        let seen = observe(&mut place.store(PROCRASTINATE)).await;
        assert_eq!(ids(&seen), ["1", "2", "3"]);
        let owned = job(&seen, "1");
        assert!(
            is_ago(&seen, owned.started_at, 200.0),
            "the newest of its starts: {owned:?}"
        );
        assert!(is_ago(&seen, owned.heartbeat_at, 4.0), "{owned:?}");
        let orphan = job(&seen, "2");
        assert!(is_ago(&seen, orphan.started_at, 300.0), "{orphan:?}");
        assert_eq!(orphan.heartbeat_at, TimeValue::ABSENT, "its owner's row is gone");
        let without = job(&seen, "3");
        assert_eq!(
            (without.started_at, without.heartbeat_at),
            (TimeValue::ABSENT, TimeValue::ABSENT)
        );
        assert_eq!(
            seen.newcomers,
            Newcomers::Unseen,
            "a start elsewhere is read for running jobs alone"
        );
        // A worker that is gone says nothing of the jobs that it has done.
        place.sql("UPDATE procrastinate_jobs SET status = 'succeeded'").await;
        assert_eq!(good_runs(&mut place.store(PROCRASTINATE)).await, []);
    }
}

const PREFECT: &str = r#"
[watch.table]
name = "flow_run"
id = "id"
state = "state_type"
running = ["RUNNING"]
success = ["COMPLETED"]
failure = ["CRASHED"]
started_at = "start_time"
last_heartbeat_at = { table = "events", key = "resource_id", match_prefix = "prefect.flow-run.", column = "occurred", where = { event = ["prefect.flow-run.heartbeat"] } }
"#;

#[tokio::test]
async fn a_key_may_stand_behind_a_prefix() {
    const RUN: &str = "0197d6b8-0000-7000-8000-000000000001";
    for place in Place::both().await {
        let (uuid, zoned) = match place {
            Place::Postgres(..) => ("uuid", "timestamptz"),
            Place::Sqlite(_) => ("CHAR(36)", "TIMESTAMP"),
        };
        let at = |seconds| match place {
            Place::Postgres(..) => format!("now() + interval '{seconds} s'"),
            Place::Sqlite(_) => place.utc(f64::from(seconds)),
        };
        let (start, beat, later) = (at(-100), at(-50), at(-1));
        place
            .sql(&format!(
                "CREATE TABLE flow_run (id {uuid} PRIMARY KEY, state_type varchar(20), start_time {zoned});
                 CREATE TABLE events (id integer PRIMARY KEY, event text, resource_id text, occurred {zoned});
                 CREATE INDEX ix_events ON events (event, resource_id, occurred);
                 INSERT INTO flow_run VALUES ('{RUN}', 'RUNNING', {start});
                 INSERT INTO events VALUES (1, 'prefect.flow-run.heartbeat', 'prefect.flow-run.{RUN}', {beat}),
                     (2, 'prefect.flow-run.Running', 'prefect.flow-run.{RUN}', {later}), (3, 'prefect.flow-run.heartbeat', '{RUN}', {later})"
            ))
            .await;
        let seen = observe(&mut place.store(PREFECT)).await;
        let run = job(&seen, RUN);
        assert!(is_ago(&seen, run.heartbeat_at, 50.0), "{run:?}");
    }
}

const AIRFLOW_JOB: &str = r#"
[watch.table]
name = "job"
id = "id"
born_running = true
state = "state"
null_state = "waiting"
running = ["running"]
success = ["success"]
failure = ["failed"]
started_at = "start_date"
last_heartbeat_at = "latest_heartbeat"
only = { job_type = ["SchedulerJob", "Triggerer'Job"], deleted = "null", 'Odd "name"' = [1, 2], is_live = [true] }
"#;

#[tokio::test]
async fn only_rows_that_meet_all_conditions_are_jobs() {
    for place in Place::both().await {
        let start = place.utc(-100.0);
        place
            .sql(&format!(
                "CREATE TABLE job (id integer PRIMARY KEY, job_type varchar(30), state varchar(20), start_date timestamp,
                     latest_heartbeat timestamp, deleted timestamp, \"Odd \"\"name\"\"\" bigint, is_live boolean);
                 INSERT INTO job VALUES (1, 'SchedulerJob', 'running', {start}, NULL, NULL, 1, true),
                     (2, 'LocalTaskJob', 'running', {start}, NULL, NULL, 1, true), (3, 'Triggerer''Job', 'running', {start}, NULL, NULL, 2, true),
                     (4, 'SchedulerJob', 'running', {start}, NULL, {start}, 1, true), (5, 'SchedulerJob', 'running', {start}, NULL, NULL, 3, true),
                     (6, 'SchedulerJob', 'running', {start}, NULL, NULL, 1, false), (7, 'SchedulerJob', NULL, {start}, NULL, NULL, 1, true),
                     (8, 'LocalTaskJob', 'odd', {start}, NULL, NULL, 1, true), (9, 'SchedulerJob', 'odd', {start}, NULL, NULL, 1, true)"
            ))
            .await;
        for discovery in ["key_tail", "state"] {
            let mut store = place.store(&format!("discovery = \"{discovery}\"\n{AIRFLOW_JOB}"));
            // The first look brings the newest rows whatever their state, so that one more shows what is asked for.
            let first = ids(&observe(&mut store).await);
            assert!(
                !first.iter().any(|id| ["2", "4", "5", "6", "8"].contains(&id.as_str())),
                "{first:?}"
            );
            assert_eq!(ids(&observe(&mut store).await), ["1", "3", "9"], "{discovery}");
            // A row that is no job any more has left: it is in no answer to anyone.
            place.sql("UPDATE job SET job_type = 'LocalTaskJob' WHERE id = 1").await;
            let seen = look(&mut store, &["1", "3"], Coverage::Ordinary).await;
            assert_eq!(ids(&seen), ["3"], "{discovery}");
            place.sql("UPDATE job SET job_type = 'SchedulerJob' WHERE id = 1").await;
        }
        let loaded = place.load(AIRFLOW_JOB).unwrap();
        let policy = app::policy_of(&loaded.config.watches[0]);
        assert_eq!(policy.states.kind_of(None), StateKind::Waiting);
    }
}

#[tokio::test]
async fn hostile_names_and_values_stay_text() {
    for place in Place::both().await {
        let start = place.utc(-100.0);
        place
            .sql(&format!(
                r#"CREATE TABLE "Job's" (id integer PRIMARY KEY, state varchar(20), start_date timestamp, "{{{{id}}}}" varchar(60));
                   CREATE TABLE "beats""; --" ("the key" varchar(90) PRIMARY KEY, "max(x)" timestamp, "other" varchar(60));
                   INSERT INTO "Job's" VALUES (1, 'running', {start}, 'a''b');
                   INSERT INTO "beats""; --" VALUES ('\''%a''b', {start}, '\')"#
            ))
            .await;
        let table = r#"
[watch.table]
name = "Job's"
id = "id"
state = "state"
running = ["running"]
started_at = "start_date"
[watch.table.last_heartbeat_at]
table = 'beats"; --'
key = "the key"
match = "{{id}}"
match_prefix = '''\'%'''
column = "max(x)"
where = { other = ['\'] }
"#;
        let seen = observe(&mut place.store(table)).await;
        assert!(is_ago(&seen, job(&seen, "1").heartbeat_at, 100.0), "{:?}", seen.rows);
    }
}

#[tokio::test]
async fn a_mapping_that_does_not_fit_is_refused_with_what_is_there() {
    for place in Place::both().await {
        optuna(&place).await;
        let with = |from: &str, to: &str| OPTUNA.replace(from, to);
        let cases = [
            (
                with("\"trial_heartbeats\"", "\"trial_heartbeat\""),
                "(watch.table.last_heartbeat_at.table)",
            ),
            (
                with("\"heartbeat\"", "\"beat\""),
                "column `beat` not found in `trial_heartbeats` (watch.table.last_heartbeat_at.column)",
            ),
            (
                with("key = \"trial_id\"", "key = \"trial\""),
                "(watch.table.last_heartbeat_at.key)",
            ),
            (
                with("key = \"trial_id\"", "key = \"trial_id\", match = \"nothing\""),
                "column `nothing` not found in `trials`",
            ),
            (
                with("key = \"trial_id\"", "key = \"trial_id\", where = { kind = \"set\" }"),
                "(watch.table.last_heartbeat_at.where)",
            ),
            (
                format!("{OPTUNA}only = {{ gone = \"null\" }}"),
                "column `gone` not found in `trials` (watch.table.only)",
            ),
        ];
        for (table, expected) in cases {
            let refused = place.refusal(&table).await;
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
        let by = |action: &str| place.load(&format!("{OPTUNA}[watch.repair]\nmissed_first = \"{action}\"\n"));
        assert!(by("backfill").unwrap_err().contains("last_heartbeat_at"));
        assert_eq!(by("fail").map(|_| ()), Ok(()));
    }
}

#[tokio::test]
async fn values_and_keys_are_checked_against_the_types_of_their_columns() {
    let [place, _] = Place::both().await;
    optuna(&place).await;
    place
        .sql("CREATE TABLE signs (trial date, at timestamp, n integer, PRIMARY KEY (trial))")
        .await;
    let other = "last_heartbeat_at = { table = \"signs\", key = \"trial\", column = \"at\" }";
    let own = OPTUNA
        .lines()
        .find(|line| line.starts_with("last_heartbeat_at"))
        .unwrap();
    let refused = place.refusal(&OPTUNA.replace(own, other)).await;
    assert!(refused.contains("column `trial` of `signs` is date"), "{refused}");
    let refused = place
        .refusal(&format!("{OPTUNA}only = {{ study_id = [\"one\"] }}"))
        .await;
    assert!(
        refused.contains("is integer (watch.table.only); expected a column that can hold `one`"),
        "{refused}"
    );
    let refused = place
        .refusal(&format!("{OPTUNA}only = {{ datetime_start = [\"now\"] }}"))
        .await;
    assert!(refused.contains("any column takes \"null\" and \"set\""), "{refused}");
}

#[tokio::test]
async fn a_large_table_without_an_index_for_the_key_is_not_read() {
    for place in Place::both().await {
        optuna(&place).await;
        let rows = match place {
            Place::Postgres(..) => "SELECT i, now() FROM generate_series(1, 60000) AS i",
            Place::Sqlite(_) => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, 'x' FROM n"
            }
        };
        place.sql("CREATE TABLE beats (trial integer, at timestamp)").await;
        let other = "last_heartbeat_at = { table = \"beats\", key = \"trial\", column = \"at\" }";
        let own = OPTUNA
            .lines()
            .find(|line| line.starts_with("last_heartbeat_at"))
            .unwrap();
        let table = OPTUNA.replace(own, other);
        observe(&mut place.store(&table)).await;
        place.sql(&format!("INSERT INTO beats {rows}")).await;
        let refused = place.refusal(&table).await;
        assert!(refused.contains("no index of `beats` begins with `trial`"), "{refused}");
        place.sql("CREATE INDEX by_trial ON beats (trial, at)").await;
        observe(&mut place.store(&table)).await;
    }
}

#[tokio::test]
async fn the_other_table_takes_rights_of_its_own_and_must_not_hide_rows() {
    let [place, _] = Place::both().await;
    let Place::Postgres(database, _) = &place else {
        unreachable!("the first of both")
    };
    optuna(&place).await;
    let name = database.url.rsplit('/').next().unwrap();
    let role = format!("reader_of_{name}");
    place.sql(&format!("CREATE ROLE \"{role}\" LOGIN")).await;
    let url = postgres::shared().url(&role, name);
    let mut config = place.load(OPTUNA).unwrap().config;
    let watch = &mut config.watches[0];
    let granted = app::grants_for(watch, Some(&role)).await.unwrap();
    let (of_jobs, of_others): (Vec<&str>, Vec<&str>) =
        granted.lines().partition(|line| !line.contains("\"trial_heartbeats\""));
    assert_eq!(
        of_others,
        [format!(
            "GRANT SELECT (\"trial_id\", \"heartbeat\") ON \"public\".\"trial_heartbeats\" TO \"{role}\";"
        )]
    );
    watch.database = DatabaseSource::Url(Secret::new(url));
    let mut store = app::store_of(watch).unwrap();
    let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
    place.sql(&of_jobs.join("\n")).await;
    let refused = store.observe(&request).await.unwrap_err().chain().to_string();
    assert!(
        refused.contains("GRANT SELECT (\"heartbeat\", \"trial_id\") ON \"trial_heartbeats\" TO this role"),
        "{refused}"
    );
    place.sql(&of_others.join("\n")).await;
    let seen = observe(&mut store).await;
    assert_eq!((ids(&seen).len(), seen.obstacles.as_slice()), (3, [].as_slice()));
    place
        .sql("ALTER TABLE trial_heartbeats ENABLE ROW LEVEL SECURITY")
        .await;
    let seen = observe(&mut app::store_of(watch).unwrap()).await;
    let hidden = &seen.obstacles[0];
    assert!(
        hidden.cause == Cause::Rights
            && hidden
                .reason
                .contains("row security is active on \"public\".\"trial_heartbeats\""),
        "{hidden:?}"
    );
}

/// A row that refers to the job holds it until it is committed; `check` names the tables whose rows don't.
#[tokio::test]
async fn other_tables_whose_rows_do_not_refer_to_the_job_are_known() {
    let [place, _] = Place::both().await;
    optuna(&place).await;
    let do_not_refer = async || {
        let mut store = place.store(OPTUNA);
        observe(&mut store).await;
        store.survey().await.unwrap().do_not_refer
    };
    place
        .sql("ALTER TABLE trial_heartbeats DROP CONSTRAINT IF EXISTS trial_heartbeats_trial_id_fkey")
        .await;
    assert_eq!(do_not_refer().await, ["\"public\".\"trial_heartbeats\""]);
    // To a column that is not the one that is compared: it holds another row.
    place
        .sql(
            "ALTER TABLE trials ADD COLUMN twin integer UNIQUE;
             ALTER TABLE trial_heartbeats ADD CONSTRAINT other FOREIGN KEY (trial_id) REFERENCES trials (twin) NOT VALID",
        )
        .await;
    assert_eq!(do_not_refer().await.len(), 1);
    place
        .sql("ALTER TABLE trial_heartbeats ADD CONSTRAINT same FOREIGN KEY (trial_id) REFERENCES trials (trial_id) NOT VALID")
        .await;
    assert_eq!(do_not_refer().await, Vec::<String>::new());
}

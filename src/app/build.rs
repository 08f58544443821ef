//! From the configuration's words to those of the modules: policy, pace, mapping, store, and the SQL that is printed.

use super::{any_store::AnyStore, error::AppError, target};
use crate::{
    config::{self, DatabaseUrl, TimeConfig, WatchConfig},
    domain::Policy,
    status::{JobNameLabels, WatchTerms},
    store::{
        self, Call, Condition, Elsewhere, Ending, ErrorText, Identifier, IdentifierError, Mapping, TableName,
        TimeSource,
        postgres::{PassFile, PostgresSettings, PostgresStore, Security, Target},
        sqlite::{SqliteSettings, SqliteStore},
    },
    watch::{FullLooks, Pace},
};

/// What judgement needs of a watch's configuration.
pub fn policy_of(watch: &WatchConfig) -> Policy {
    Policy {
        watch: watch.name.clone(),
        noun: watch.noun.clone(),
        states: watch.table.states.clone(),
        init_deadline: watch.init_deadline,
        max_runtime: watch.max_runtime,
        heartbeat_timeout: watch.heartbeat_timeout,
        seed_tolerance: watch.seed_tolerance,
        max_age: watch.max_age,
        init_window: watch.init_window,
        action: watch.action(),
        fuse_min_jobs: usize::try_from(watch.repair.fuse_min_jobs).unwrap_or(usize::MAX),
        fuse_share: watch.repair.fuse_share,
        max_per_pass: usize::try_from(watch.repair.max_per_pass).unwrap_or(usize::MAX),
        writer_stale_after: watch.writer_stale_after,
        writer_stale_after_without_heartbeat: watch.writer_stale_after_without_heartbeat,
        by_hand: None,
    }
}

/// How often the watch makes a pass.
pub fn pace_of(watch: &WatchConfig) -> Pace {
    Pace {
        poll_interval: watch.poll_interval,
        poll_timeout: watch.poll_timeout,
        full_look_interval: watch.full_look_interval,
        full_looks: FullLooks::Gradual,
    }
}

pub(super) fn terms_of(watch: &WatchConfig) -> WatchTerms {
    WatchTerms {
        policy: policy_of(watch),
        preset: watch.preset.clone(),
        table: watch.table.name.clone(),
        poll_interval: watch.poll_interval,
        poll_timeout: watch.poll_timeout,
        init_objective: watch.init_objective,
        names: if watch.job_name_label {
            JobNameLabels::Labelled
        } else {
            JobNameLabels::Unlabelled
        },
        target: target::target_of(watch),
        index_advice: index_for(watch),
    }
}

/// Table and columns of a watch, their names checked.
fn mapping_of(watch: &WatchConfig) -> Result<Mapping, IdentifierError> {
    let table = &watch.table;
    let names = match watch.database.resolve() {
        Ok(DatabaseUrl::Sqlite(_)) => Names::OF_A_FILE,
        _ => Names::OF_A_SERVER,
    };
    let check = names.check;
    let optional = |name: &Option<String>| name.as_deref().map(check).transpose();
    let call = watch.repair.fail.call.as_ref().map(|call| {
        Ok(Call {
            function: names.table(&call.function)?,
            args: call.args.clone(),
        })
    });
    let set = watch.repair.fail.set.iter();
    let set = set.map(|(column, value)| Ok((check(column)?, value.clone())));
    Ok(Mapping {
        watch: watch.name.clone(),
        table: names.table(&table.name)?,
        ledger: names.table(&watch.repair.ledger)?,
        id: check(&table.id)?,
        job_name: optional(&table.job_name)?,
        state: check(&table.state)?,
        states: table.states.clone(),
        only: conditions_of(&table.only, check)?,
        started_at: time_of(&table.started_at, &table.id, names)?,
        last_heartbeat_at: table
            .last_heartbeat_at
            .as_ref()
            .map(|time| time_of(time, &table.id, names))
            .transpose()?,
        max_runtime: watch.max_runtime,
        ended_at: optional(&table.ended_at)?,
        time_format: table.time_format,
        time_zone: table.time_zone.clone(),
        error: table
            .error
            .as_ref()
            .map(|error| {
                Ok(ErrorText {
                    column: check(&error.column)?,
                    key: error.json_key.clone(),
                })
            })
            .transpose()?,
        born_running: table.born_running,
        ending: Ending {
            state: watch.repair.fail.state.clone(),
            set: set.collect::<Result<_, _>>()?,
            call: call.transpose()?,
        },
    })
}

/// What `fail` does to a row, where the configuration says more than which columns there are.
pub fn fail_in_words(watch: &WatchConfig) -> Option<String> {
    let mapping = mapping_of(watch).ok()?;
    (mapping.ending != Ending::default()).then(|| mapping.fail_in_words())
}

/// How one database checks a name.
type Check = fn(&str) -> Result<Identifier, IdentifierError>;

/// What names are like in one database.
#[derive(Clone, Copy)]
struct Names {
    check: Check,
    has_schemas: bool,
}

impl Names {
    const OF_A_SERVER: Self = Self {
        check: Identifier::new,
        has_schemas: true,
    };
    /// One configuration serves both databases, so a schema is no mistake here: what it holds stands in the file.
    const OF_A_FILE: Self = Self {
        check: Identifier::of_any_length,
        has_schemas: false,
    };

    fn table(self, text: &str) -> Result<TableName, IdentifierError> {
        let TableName { schema, name } = TableName::parse_by(text, self.check)?;
        Ok(TableName {
            schema: schema.filter(|_| self.has_schemas),
            name,
        })
    }
}

/// Where a time stands; `id` names the job where nothing else does.
fn time_of(time: &TimeConfig, id: &str, names: Names) -> Result<TimeSource, IdentifierError> {
    let check = names.check;
    let elsewhere = time.elsewhere.as_ref().map(|elsewhere| {
        Ok(Elsewhere {
            table: names.table(&elsewhere.table)?,
            key: check(&elsewhere.key)?,
            matching: check(elsewhere.matching.as_deref().unwrap_or(id))?,
            prefix: elsewhere.match_prefix.clone(),
            conditions: conditions_of(&elsewhere.conditions, check)?,
        })
    });
    Ok(TimeSource {
        column: check(&time.column)?,
        elsewhere: elsewhere.transpose()?,
        format: time.time_format,
        zone: time.time_zone.clone(),
    })
}

fn conditions_of(conditions: &[config::Condition], check: Check) -> Result<Vec<Condition>, IdentifierError> {
    let checked = conditions.iter().map(|condition| {
        Ok(Condition {
            column: check(&condition.column)?,
            test: condition.test.clone(),
        })
    });
    checked.collect()
}

/// The statement that creates the index which makes finding running jobs cheap; empty where a name can't be used.
pub fn index_for(watch: &WatchConfig) -> String {
    let Ok(mapping) = mapping_of(watch) else {
        return String::new();
    };
    match watch.database.resolve() {
        Ok(DatabaseUrl::Postgres(_)) => store::postgres::index_advice(&mapping),
        _ => store::sqlite::index_advice(&mapping),
    }
}

/// Table and columns of a watch, and the database that they are in.
fn checked(watch: &WatchConfig) -> Result<(Mapping, DatabaseUrl), AppError> {
    let mapping = mapping_of(watch).map_err(|error| AppError::of_name(watch, error))?;
    let url = watch.database.resolve();
    Ok((mapping, url.map_err(|error| AppError::of_address(watch, error))?))
}

/// The SQL that a database administrator runs for `role`: the least rights that the configuration of a watch needs.
///
/// # Errors
/// If a name or the database address can't be used.
pub async fn grants_for(watch: &WatchConfig, role: Option<&str>) -> Result<String, AppError> {
    match checked(watch)? {
        (_, DatabaseUrl::Sqlite(path)) => Ok(store::sqlite::grants(&path)),
        (mapping, DatabaseUrl::Postgres(url)) => {
            let target = target_of(&url).map_err(|error| AppError::of_address(watch, error))?;
            let role = role.or(target.user()).unwrap_or("beatwarden");
            let role = Identifier::new(role).map_err(|error| AppError::of_name(watch, error))?;
            let found = store::postgres::locate(target, &mapping, &role).await;
            Ok(store::postgres::grants(&mapping, watch.action(), &role, found))
        }
    }
}

/// The store of a watch, not yet connected.
///
/// # Errors
/// If a name or the database address can't be used.
pub fn store_of(watch: &WatchConfig) -> Result<AnyStore, AppError> {
    let (mapping, url) = checked(watch)?;
    let database = watch.database.clone();
    match url {
        DatabaseUrl::Sqlite(_) => Ok(AnyStore::Sqlite(Box::new(SqliteStore::new(SqliteSettings {
            address: Box::new(move || match database.resolve()? {
                DatabaseUrl::Sqlite(path) => Ok(path),
                DatabaseUrl::Postgres(_) => Err(changed_kind()),
            }),
            mapping,
            poll_timeout: watch.poll_timeout,
            seed_tolerance: watch.seed_tolerance,
            instance: instance(),
            action: watch.action(),
            discovery: watch.discovery,
        })))),
        DatabaseUrl::Postgres(url) => {
            target_of(&url).map_err(|error| AppError::of_address(watch, error))?;
            Ok(AnyStore::Postgres(Box::new(PostgresStore::new(PostgresSettings {
                address: Box::new(move || match database.resolve()? {
                    DatabaseUrl::Postgres(url) => target_of(&url),
                    DatabaseUrl::Sqlite(_) => Err(changed_kind()),
                }),
                mapping,
                action: watch.action(),
                poll_timeout: watch.poll_timeout,
                seed_tolerance: watch.seed_tolerance,
                instance: instance(),
                discovery: watch.discovery,
            }))))
        }
    }
}

fn changed_kind() -> Box<dyn std::error::Error + Send + Sync> {
    "the file now names another kind of database: restart to take that up".into()
}

pub(super) fn target_of(url: &config::PostgresUrl) -> Result<Target, Box<dyn std::error::Error + Send + Sync>> {
    let security = Security::new(
        url.sslmode,
        url.sslrootcert.clone(),
        url.sslcert.clone(),
        url.sslkey.clone(),
    );
    let target = Target::new(url.text.expose(), url.sslmode, url.target_session_attrs)?;
    let passfile = match &url.passfile {
        Some(path) if url.completed_by.contains(&"PGPASSFILE") => PassFile::Offered(path.clone()),
        Some(path) => PassFile::Named(path.clone()),
        None => PassFile::Usual,
    };
    Ok(target.with_files(security, passfile))
}

/// Who we are in the ledger: the operating system's user, host and process, so that the entries of replicas and of people
/// can be distinguished.
fn instance() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let host = host.or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    format!("{}@{}/{}", user(), host.as_deref().unwrap_or("?"), std::process::id())
}

/// The name of the user that this process belongs to, or its number where the password file has no name.
fn user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    named.filter(|name| !name.is_empty()).unwrap_or(id)
}

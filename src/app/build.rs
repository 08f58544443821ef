//! From the configuration's words to those of the modules: policy, pace, store, and the SQL that is printed.

use super::{any_store::AnyStore, error::AppError, target};
use crate::{
    config::{self, DatabaseUrl, WatchConfig},
    domain::Policy,
    mapping::{Ending, Identifier, Naming},
    status::WatchTerms,
    store::{
        self, Settings,
        postgres::{PassFile, PostgresStore, Security, Target},
        sqlite::SqliteStore,
    },
    watch::{FullLooks, Pace},
};

/// What judgement needs of a watch's configuration.
pub fn policy_of(watch: &WatchConfig) -> Policy {
    Policy {
        watch: watch.name.clone(),
        noun: watch.noun.clone(),
        states: watch.mapping.states.clone(),
        init_deadline: watch.init_deadline,
        max_runtime: watch.mapping.max_runtime,
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
        table: watch.mapping.table.plain(),
        poll_interval: watch.poll_interval,
        poll_timeout: watch.poll_timeout,
        init_objective: watch.init_objective,
        labels_names: watch.job_name_label,
        target: target::target_of(watch),
        index_advice: index_for(watch),
    }
}

/// What `fail` does to a row, where the configuration says more than which columns there are.
pub fn fail_in_words(watch: &WatchConfig) -> Option<String> {
    (watch.mapping.ending != Ending::default()).then(|| watch.mapping.fail_in_words())
}

/// The statement that creates the index which makes finding running jobs cheap.
pub fn index_for(watch: &WatchConfig) -> String {
    match watch.naming {
        Naming::OfAServer => store::postgres::index_advice(&watch.mapping),
        Naming::OfAFile => store::sqlite::index_advice(&watch.mapping),
    }
}

/// The database of a watch, of the kind that its names were read for: a file that names it may have changed since.
fn database_of(watch: &WatchConfig) -> Result<DatabaseUrl, AppError> {
    let url = watch.database.resolve();
    let url = url.map_err(|error| AppError::of_address(watch, error))?;
    let naming = match url {
        DatabaseUrl::Postgres(_) => Naming::OfAServer,
        DatabaseUrl::Sqlite(_) => Naming::OfAFile,
    };
    if naming == watch.naming {
        Ok(url)
    } else {
        Err(AppError::of_address(watch, changed_kind()))
    }
}

/// The SQL that a database administrator runs for `role`: the least rights that the configuration of a watch needs.
///
/// # Errors
/// If the role's name or the database address can't be used.
pub async fn grants_for(watch: &WatchConfig, role: Option<&str>) -> Result<String, AppError> {
    match database_of(watch)? {
        DatabaseUrl::Sqlite(path) => Ok(store::sqlite::grants(&path)),
        DatabaseUrl::Postgres(url) => {
            let target = target_of(&url).map_err(|error| AppError::of_address(watch, error))?;
            let role = role.or(target.user()).unwrap_or("beatwarden");
            let role = Identifier::new(role).map_err(|error| AppError::of_role(watch, error))?;
            let found = store::postgres::locate(target, &watch.mapping, &role).await;
            Ok(store::postgres::grants(&watch.mapping, watch.action(), &role, found))
        }
    }
}

/// The store of a watch, not yet connected.
///
/// # Errors
/// If the database address can't be used.
pub fn store_of(watch: &WatchConfig) -> Result<AnyStore, AppError> {
    let database = watch.database.clone();
    match database_of(watch)? {
        DatabaseUrl::Sqlite(_) => {
            let address = move || match database.resolve()? {
                DatabaseUrl::Sqlite(path) => Ok(path),
                DatabaseUrl::Postgres(_) => Err(changed_kind()),
            };
            let store = SqliteStore::new(settings(watch, Box::new(address)));
            Ok(AnyStore::Sqlite(Box::new(store)))
        }
        DatabaseUrl::Postgres(url) => {
            target_of(&url).map_err(|error| AppError::of_address(watch, error))?;
            let address = move || match database.resolve()? {
                DatabaseUrl::Postgres(url) => target_of(&url),
                DatabaseUrl::Sqlite(_) => Err(changed_kind()),
            };
            let store = PostgresStore::new(settings(watch, Box::new(address)));
            Ok(AnyStore::Postgres(Box::new(store)))
        }
    }
}

fn settings<A>(watch: &WatchConfig, address: A) -> Settings<A> {
    Settings {
        address,
        mapping: watch.mapping.clone(),
        action: watch.action(),
        poll_timeout: watch.poll_timeout,
        seed_tolerance: watch.seed_tolerance,
        instance: instance(),
        discovery: watch.discovery,
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

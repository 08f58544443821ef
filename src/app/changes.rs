//! What a reload changes in a watch, in the words of the configuration.

use crate::config::WatchConfig;
use std::fmt::Debug;

/// The keys that differ, with both values where they are short; a key of the database's address without them.
pub(super) fn changes_of(old: &WatchConfig, new: &WatchConfig) -> Vec<String> {
    fn differs<T: Debug + PartialEq>(key: &str, old: &T, new: &T) -> Option<String> {
        (old != new).then(|| format!("{key} {old:?} -> {new:?}"))
    }
    let (was, is) = (&old.repair, &new.repair);
    let changed = |key: &str, differs: bool| differs.then(|| key.to_owned());
    [
        changed("database", old.database != new.database),
        differs("poll_interval", &old.poll_interval, &new.poll_interval),
        differs("poll_timeout", &old.poll_timeout, &new.poll_timeout),
        differs("init_deadline", &old.init_deadline, &new.init_deadline),
        differs("heartbeat_timeout", &old.heartbeat_timeout, &new.heartbeat_timeout),
        differs("seed_tolerance", &old.seed_tolerance, &new.seed_tolerance),
        differs("max_age", &old.max_age, &new.max_age),
        differs("init_window", &old.init_window, &new.init_window),
        differs("init_objective", &old.init_objective, &new.init_objective),
        differs("writer_stale_after", &old.writer_stale_after, &new.writer_stale_after),
        differs(
            "writer_stale_after_without_heartbeat",
            &old.writer_stale_after_without_heartbeat,
            &new.writer_stale_after_without_heartbeat,
        ),
        differs("discovery", &old.discovery, &new.discovery),
        differs("full_look_interval", &old.full_look_interval, &new.full_look_interval),
        differs("job_name_label", &old.job_name_label, &new.job_name_label),
        changed("table", old.table != new.table),
        differs("repair.missed_first", &was.missed_first, &is.missed_first),
        differs("repair.max_per_pass", &was.max_per_pass, &is.max_per_pass),
        differs("repair.fuse_min_jobs", &was.fuse_min_jobs, &is.fuse_min_jobs),
        differs("repair.fuse_share", &was.fuse_share, &is.fuse_share),
        differs("repair.ledger", &was.ledger, &is.ledger),
    ]
    .into_iter()
    .flatten()
    .collect()
}

//! What a reload changes in a watch, in the words of the configuration.

use crate::config::WatchConfig;
use std::fmt::Debug;

/// `KEY OLD -> NEW`, where the two differ.
fn differing<T: PartialEq + Debug>(key: &str, old: &T, new: &T) -> Option<String> {
    (old != new).then(|| format!("{key} {old:?} -> {new:?}"))
}

/// The same for each of these keys.
macro_rules! differing {
    ($old:ident, $new:ident, [$($($key:ident).+),+ $(,)?]) => {
        [$(differing(&[$(stringify!($key)),+].join("."), &$old.$($key).+, &$new.$($key).+)),+]
    };
}

/// The keys that differ, with both values where they are short; a key of the database's address without them.
#[rustfmt::skip]
pub(super) fn changes_of(old: &WatchConfig, new: &WatchConfig) -> Vec<String> {
    let changed = |key: &str, differs: bool| differs.then(|| key.to_owned());
    let database = changed("database", old.database != new.database);
    let of_watch = differing!(old, new, [
        poll_interval, poll_timeout, init_deadline, heartbeat_timeout, seed_tolerance, max_age, init_window,
        init_objective, noun, writer_stale_after, writer_stale_after_without_heartbeat, discovery, full_look_interval, job_name_label,
    ]);
    let (was, is) = (&old.mapping, &new.mapping);
    let max_runtime = differing("max_runtime", &was.max_runtime, &is.max_runtime);
    let table = changed("table", !old.maps_as(new));
    let of_repair = differing!(old, new, [
        repair.missed_first, repair.overrun, repair.max_per_pass, repair.fuse_min_jobs, repair.fuse_share,
    ]);
    let ledger = differing("repair.ledger", &was.ledger.plain(), &is.ledger.plain());
    let fail = changed("repair.fail", was.ending != is.ending);
    [database].into_iter().chain(of_watch).chain([max_runtime, table]).chain(of_repair).chain([ledger, fail]).flatten().collect()
}

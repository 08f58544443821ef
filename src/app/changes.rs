//! What a reload changes in a watch, in the words of the configuration.

use crate::config::WatchConfig;

/// `KEY OLD -> NEW` of each of these keys that differs.
macro_rules! differing {
    ($old:ident, $new:ident, [$($($key:ident).+),+ $(,)?]) => {
        [$(($old.$($key).+ != $new.$($key).+).then(|| {
            let key = [$(stringify!($key)),+].join(".");
            format!("{key} {:?} -> {:?}", $old.$($key).+, $new.$($key).+)
        })),+]
    };
}

/// The keys that differ, with both values where they are short; a key of the database's address without them.
#[rustfmt::skip]
pub(super) fn changes_of(old: &WatchConfig, new: &WatchConfig) -> Vec<String> {
    let changed = |key: &str, differs: bool| differs.then(|| key.to_owned());
    let database = changed("database", old.database != new.database);
    let of_watch = differing!(old, new, [
        poll_interval, poll_timeout, init_deadline, heartbeat_timeout, max_runtime, seed_tolerance, max_age, init_window,
        init_objective, noun, writer_stale_after, writer_stale_after_without_heartbeat, discovery, full_look_interval, job_name_label,
    ]);
    let table = changed("table", old.table != new.table);
    let of_repair = differing!(old, new, [
        repair.missed_first, repair.overrun, repair.max_per_pass, repair.fuse_min_jobs, repair.fuse_share, repair.ledger,
    ]);
    let fail = changed("repair.fail", old.repair.fail != new.repair.fail);
    [database].into_iter().chain(of_watch).chain([table]).chain(of_repair).chain([fail]).flatten().collect()
}

//! The rule of two clocks: when all watching starts again, and which jobs are older than a restart of their server.

use super::{
    Action, Memory, Observation, Policy, Restarted, Timestamp, known::Known, memory::LastPass, policy::blind_after,
};
use std::time::Duration;

/// Whether all watching starts again: rules (a), (b) and (c) of the two clocks.
pub(super) fn watching_restarts(memory: &Memory, observation: &Observation, policy: &Policy) -> Option<Restarted> {
    /// Two clocks that advance by amounts this far apart have not measured the same time.
    const DRIFT_FLOOR_MICROS: i64 = 2_000_000;
    let last = memory.last_pass.as_ref()?;
    if last.server != observation.snapshot.server || (policy.action == Action::Fail && reconnected(last, observation)) {
        return Some(Restarted::Server);
    }
    let ours = observation.began.since(last.began);
    if ours > blind_after(observation.interval, policy.init_deadline) {
        return Some(Restarted::Gap(ours));
    }
    let ours = i64::try_from(ours.as_micros()).unwrap_or(i64::MAX);
    let theirs = observation.snapshot.database_now.micros_since(last.database_now);
    let drift = theirs.saturating_sub(ours);
    (drift.saturating_abs() > DRIFT_FLOOR_MICROS.max(ours / 10)).then_some(Restarted::Clock(drift))
}

/// Whether this is another connection, where only that may show a restart or a promotion.
fn reconnected(last: &LastPass, observation: &Observation) -> bool {
    let connection = observation.snapshot.unknowns.connection;
    connection.is_some() && connection != last.connection
}

/// When a server that is another than before became it, at the latest; `None` where the server's own start shows it, and
/// for a file, which has no server. A standby's own start doesn't show it: it may lie long before its promotion, however
/// recent it is.
pub(super) fn promoted_by(memory: &Memory, observation: &Observation) -> Option<Timestamp> {
    let last = memory.last_pass.as_ref()?;
    let snapshot = &observation.snapshot;
    if snapshot.unknowns.connection.is_some() {
        return Some(snapshot.database_now);
    }
    snapshot.server_started_at?;
    (!snapshot.server.is_restart_of(&last.server)).then_some(snapshot.database_now)
}

/// Whether the job is older than the latest restart or promotion of its server.
pub(super) fn restarted_under(memory: &Memory, known: &Known) -> bool {
    /// A job this young at the restart may have begun on the old server.
    const MARGIN: Duration = Duration::from_secs(2);
    memory
        .restarted_at
        .is_some_and(|at| known.first_seen < at || known.start() < at.plus(MARGIN))
}

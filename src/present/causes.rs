//! Why an overdue job is not repaired, and what would change that: the one list of causes in words.

use super::{
    time::{span_short, when},
    words,
};
use crate::domain::{Cause, JobId, Policy, Timestamp};

/// A cause in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CauseWords {
    /// In a few words that need no glossary, for a table.
    pub short: &'static str,
    /// In a clause, with places to be filled: `{choice}`, `{action}`, `{insist}`, `{init_deadline}`, `{heartbeat_timeout}`,
    /// `{max_per_pass}`, `{due}` and
    /// those of [`Noun::say`](crate::domain::Noun::say).
    long: &'static str,
}

impl CauseWords {
    /// The words of a cause.
    pub const fn of(cause: Cause) -> Self {
        let (short, long) = match cause {
            Cause::Observe => (
                "nothing: the mode is observe",
                "the configured action is observe, which never changes anything; choose {choice} to have such {jobs} repaired",
            ),
            Cause::Rights => (
                "nothing: the rights on the table don't allow it (see beatwarden check)",
                "this role lacks a right, or the table can't be repaired; `beatwarden check` says what is missing and how to \
                 fix it",
            ),
            Cause::ReadOnly => (
                "nothing: the database is read-only",
                "the database takes no writes: it is a standby, or its file can't be written; repairs resume on their own when \
                 it does",
            ),
            Cause::NetworkFs => (
                "nothing: the file lies on a network file system",
                "the database file lies on a network file system, whose locks can't be trusted; run Beatwarden beside the file",
            ),
            Cause::NoLedger => (
                "nothing: the ledger can't be written",
                "the ledger can't be written, and nothing is repaired that isn't recorded; `beatwarden check` prints the SQL that \
                 fixes it",
            ),
            Cause::NoStart => (
                "nothing: the row has no start",
                "the row has no start, so no one can say that its deadline has passed; {insist} (action fail)",
            ),
            Cause::Clock => (
                "nothing: its start lay in the future",
                "its start lay in the future when it was first seen: the writer's clock or time zone differs from the database's \
                 (watch.table.time_zone); {insist}",
            ),
            Cause::AwaitingWriter => (
                "nothing to repair: the writer has to end it",
                "there is nothing that action backfill would change, since the heartbeat is set already; the writer's own rule \
                 has to end it, or choose action fail",
            ),
            Cause::Undone => (
                "nothing: its repair was undone",
                "a repair of this start was taken back, so it is not repaired again automatically; {insist}",
            ),
            Cause::Repaired => (
                "nothing: it was repaired before",
                "this start was already repaired that way once, and each start gets each action once only; look at the ledger \
                 below for what came of it",
            ),
            Cause::DbRestart => (
                "waiting: the database was restarted while it ran",
                "it is older than the latest restart or promotion of its database, and some writers stop beating for good after \
                 one database error and work on; it has to be watched for {heartbeat_timeout} (heartbeat_timeout) since then; \
                 {insist}",
            ),
            Cause::Watching => (
                "waiting: not yet watched for a whole deadline",
                "the process has not yet watched the row, unchanged, for {init_deadline} (init_deadline) by its own clock{due}; \
                 then it will {action}",
            ),
            Cause::Fuse => (
                "nothing: the fuse is open",
                "the fuse is open: so many {jobs} looked dead at once that this is more likely a fault of the host, the database or \
                 a clock, or a failed {job} turned out to be alive; it closes when that is gone for three passes. If they are dead, \
                 `beatwarden ack --fuse`; if a false repair holds it (`beatwarden history`), `beatwarden ack REPAIR_ID`; {insist}",
            ),
            Cause::Limit => (
                "waiting: others are repaired first",
                "one pass repairs {max_per_pass} {jobs} at most (watch.repair.max_per_pass), and others were first; it follows in \
                 one of the next passes",
            ),
            Cause::Shutdown => (
                "nothing: this process is stopping",
                "the process was asked to stop, and begins no new repair; the next one takes it up after a deadline of watching",
            ),
            Cause::NotLeader => (
                "waiting: another replica repairs",
                "another session holds the gate of the repairs, which another Beatwarden at work may well be; the next pass tries \
                 again",
            ),
            Cause::Locked => (
                "waiting: another session holds the row",
                "another session holds the row, which a living writer may well be; the next pass tries again",
            ),
            Cause::LostRace => (
                "waiting: it changed a moment ago",
                "the row changed between being read and being repaired, so it was left alone; the next pass judges it again",
            ),
        };
        Self { short, long }
    }

    /// The few words without what is done, where that was said.
    pub fn why(&self) -> &'static str {
        self.short.split_once(": ").map_or(self.short, |(_, why)| why)
    }

    /// The clause, for a job that `action` would be done to.
    pub fn long(&self, job: &JobId, policy: &Policy, action: &str, due: Option<Timestamp>, now: Timestamp) -> String {
        let due = due.map_or_else(String::new, |at| format!(", which is at {}", when(at, now)));
        // The key last: it is a foreign text, and nothing is filled into it.
        policy
            .noun
            .say(self.long)
            .replace(
                "{insist}",
                "`beatwarden repair --job {key}` does it all the same, if you are sure that it is dead",
            )
            .replace("{choice}", words::choice(policy))
            .replace("{action}", action)
            .replace("{init_deadline}", &span_short(policy.init_deadline))
            .replace("{heartbeat_timeout}", &span_short(policy.heartbeat_timeout))
            .replace("{max_per_pass}", &policy.max_per_pass.to_string())
            .replace("{due}", &due)
            .replace("{key}", &job.text().escape_debug().to_string())
    }
}

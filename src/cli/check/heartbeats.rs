//! What `check` says of the heartbeats of a table: whether all inits are counted, which kind of first heartbeat the writer
//! makes, and the guard; or that there are none.

use super::{GuardState, Line, Writer, bad, elsewhere::takes_heartbeats, good, in_words, note};
use crate::{
    config::WatchConfig,
    domain::{Action, Guard, Heartbeat, Newcomers, Policy, Snapshot},
    present::time::span_short,
};

/// All lines about heartbeats.
pub(super) fn heartbeats(watch: &WatchConfig, snapshot: &Snapshot, policy: &Policy, found: &Writer) -> Vec<Line> {
    if let Some(longest) = policy.max_runtime {
        return vec![by_age(&span_short(longest))];
    }
    let mut lines = vec![inits(watch, snapshot), writer(watch, snapshot, policy, found)];
    if !found.is_view && takes_heartbeats(watch) {
        lines.push(guarded(&found.guard));
    }
    lines
}

fn by_age(longest: &str) -> Line {
    note(format!(
        "heartbeats: none is mapped, so jobs are judged by their age alone, which is no evidence of death: past {longest} \
         (max_runtime) they are reported; first heartbeats are not counted (init_tracking 0)"
    ))
}

fn inits(watch: &WatchConfig, snapshot: &Snapshot) -> Line {
    match snapshot.newcomers {
        Newcomers::Followed => good("inits: jobs that start and end between two polls are counted, by the growing key"),
        Newcomers::Unseen if watch.mapping.own_start().is_none() => note(
            "inits: jobs that start and end between two polls are not counted (init_tracking 0), because the start is in \
             another table, where it is read for running jobs alone",
        ),
        Newcomers::Unseen => note(
            "inits: jobs that start and end between two polls are not counted (init_tracking 0), because the key is no \
             growing integer or watch.table.born_running is false; those seen while running are",
        ),
    }
}

/// Which kind of first heartbeat the writer makes, as far as the newest rows show it.
fn writer(watch: &WatchConfig, snapshot: &Snapshot, policy: &Policy, found: &Writer) -> Line {
    let started = snapshot.rows.iter().filter(|job| job.started_at.at().is_some());
    let (mut absent, mut seeded, mut real) = (0_u32, 0_u32, 0_u32);
    for job in started {
        match job.heartbeat(policy.seed_tolerance) {
            Heartbeat::Absent => absent += 1,
            Heartbeat::Seeded(_) => seeded += 1,
            Heartbeat::Real(_) => real += 1,
        }
    }
    let what = match (absent, seeded) {
        (0, 0) => "which kind of first heartbeat it makes shows only in a job that did not get further",
        _ if found.is_view => "nothing repairs rows through a view",
        _ if !takes_heartbeats(watch) => "heartbeats are not in the job table, so only `fail` ends such a job",
        (_, 0) => "it starts jobs without a heartbeat: `backfill` and `fail` can repair them",
        (0, _) => {
            "it writes the first heartbeat with the start: there is nothing to backfill, only `fail` ends such a job"
        }
        (_, _) => "both kinds occur: `backfill` reaches those without a heartbeat, `fail` all",
    };
    let action = if found.is_view { Action::Observe } else { policy.action };
    let silent = found.silence.map(|silence| silence.said(action, policy));
    let what = silent.unwrap_or_else(|| format!("{what}{}", of_owners(watch)));
    note(format!(
        "writer: of the rows seen {absent} have no heartbeat, {seeded} a seeded and {real} a real one: {what}"
    ))
}

/// What can't be known where heartbeats are those of the job's owner.
fn of_owners(watch: &WatchConfig) -> String {
    let heartbeat = watch.mapping.last_heartbeat_at.as_ref();
    let elsewhere = heartbeat.and_then(|time| time.elsewhere.as_ref());
    let owner = elsewhere
        .map(|other| &other.matching)
        .filter(|owner| **owner != watch.mapping.id);
    owner.map_or_else(String::new, |owner| {
        format!(
            "; whether good runs had one can't be seen, since heartbeats are those of `{}`, not of the job",
            owner.as_str().escape_debug()
        )
    })
}

/// The guard: optional, but not half-way.
fn guarded(found: &GuardState) -> Line {
    let text = format!("guard: {}", in_words(found));
    match found.guard {
        Guard::Sound => good(text),
        Guard::Outdated => note(text),
        Guard::Absent => note(
            "guard: not installed, which is fine; where the writer starts jobs without a heartbeat, `beatwarden guard install` \
             writes it in the same transaction",
        ),
        Guard::Disabled | Guard::Altered => bad(text),
    }
}

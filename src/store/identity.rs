//! What names a repair: its identity, which is the ledger's key, and the text that it leaves in the row.

use crate::domain::{Incident, Phase, Repair, RepairId};

/// The identity of a repair: the same in every replica and after every restart.
///
/// A name-based UUID (RFC 9562, version 5) of what a repair is about: table, incident and action. It is the ledger's
/// primary key, so the database itself refuses a second repair of the same incident. The watch is no part of it: its name
/// is a label. Only after an undo can an operator insist on another one; its identity includes that undo's.
pub fn repair_id(table: &str, repair: &Repair) -> RepairId {
    let Incident { job, started_at } = repair.incident();
    let start = started_at.map_or_else(String::new, |at| at.as_micros().to_string());
    let key = job.text();
    let parts = [table, &key, &start, repair.action.as_str()];
    let undo = repair.after_undo.map(|id| id.to_string());
    named(parts.into_iter().chain(undo.as_deref()))
}

/// The identity of the undo of a repair: the ledger's key refuses a second one.
pub(crate) fn undo_id(repair: RepairId) -> RepairId {
    named(["undo", &repair.to_string()])
}

/// An identity that nothing else has: for an acknowledgement of the fuse, which may come twice.
pub(crate) fn fresh_id() -> RepairId {
    RepairId(uuid::Uuid::new_v4().as_u128())
}

fn named<'a>(parts: impl IntoIterator<Item = &'a str>) -> RepairId {
    // Length prefixes keep ("a", "bc") and ("ab", "c") apart.
    let name: String = parts
        .into_iter()
        .map(|part| format!("{}:{part};", part.len()))
        .collect();
    RepairId(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).as_u128())
}

/// The text that `fail` writes where an error column is configured, JSON-escaped, without quotes around it.
pub fn error_text(id: RepairId, repair: &Repair) -> String {
    let what = match repair.reason {
        Phase::Overrun => format!(
            "running for longer than {}",
            humantime::format_duration(repair.deadline)
        ),
        _ => format!("no heartbeat within {}s of the start", repair.deadline.as_secs_f64()),
    };
    let text = format!("Beatwarden: {what} (repair {id})");
    let quoted = serde_json::Value::String(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Job, JobId, Repairing, ServerIdentity, StartCheck, TimeValue};
    use std::time::Duration;

    fn repair(id: &str, start: i64, action: Repairing) -> Repair {
        Repair {
            action,
            job: Job {
                id: JobId::new(id),
                name: None,
                state: Some("RUNNING".into()),
                started_at: TimeValue::from_micros(start),
                heartbeat_at: TimeValue::ABSENT,
                ended_at: TimeValue::ABSENT,
            },
            reason: Phase::MissedFirst,
            deadline: Duration::from_secs(60),
            server: ServerIdentity(String::new()),
            start: StartCheck::Overdue,
            after_undo: None,
        }
    }

    #[test]
    fn a_repair_has_one_identity_for_each_incident_and_action() {
        let first = repair_id("t", &repair("1", 5, Repairing::Fail));
        assert_eq!(first, repair_id("t", &repair("1", 5, Repairing::Fail)));
        for other in [
            repair_id("t", &repair("1", 6, Repairing::Fail)),
            repair_id("t", &repair("1", 5, Repairing::Backfill)),
            repair_id("u", &repair("1", 5, Repairing::Fail)),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_error_text_names_deadline_and_repair() {
        let missed = repair("1", 5, Repairing::Fail);
        assert_eq!(
            error_text(RepairId(0), &missed),
            "Beatwarden: no heartbeat within 60s of the start (repair 00000000-0000-0000-0000-000000000000)"
        );
        let overrun = Repair {
            reason: Phase::Overrun,
            deadline: Duration::from_secs(6 * 3600),
            ..missed
        };
        assert_eq!(
            error_text(RepairId(0), &overrun),
            "Beatwarden: running for longer than 6h (repair 00000000-0000-0000-0000-000000000000)"
        );
    }
}

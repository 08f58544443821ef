//! The judge of a SQLite file: triggers that write down every change with the file's clock, and the questions that are asked
//! of it in the end. A writer names itself in its transaction, so whatever changes without a name was changed by a watchdog.
//! Only one transaction writes at a time: what belongs together stands one after the other.

use super::{judge::Question, kind::Kind, verdict::Verdict};
use rusqlite::Connection;

/// Meltano's table with the index that keeps polls cheap however slow the machine is, and the audit's own.
pub const TABLES: &str = "
    CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name VARCHAR, state VARCHAR, started_at DATETIME, ended_at DATETIME,
        payload VARCHAR, payload_flags INTEGER, run_id CHAR(32), \"trigger\" VARCHAR, last_heartbeat_at DATETIME);
    CREATE INDEX runs_by_state ON runs (state);
    CREATE TABLE hand (who TEXT);
    INSERT INTO hand VALUES ('dog');
    CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, relation TEXT, operation TEXT, who TEXT, at REAL, old TEXT, new TEXT)";

/// Audits a table by these columns.
fn audit(table: &str, columns: &[&str]) -> String {
    let image = |which: &str| {
        let pairs: Vec<String> = columns
            .iter()
            .map(|name| format!("'{name}', {which}.\"{name}\""))
            .collect();
        format!("json_object({})", pairs.join(", "))
    };
    let trigger = |operation: &str, old: &str, new: &str| {
        format!(
            "CREATE TRIGGER audit_{table}_{operation} AFTER {operation} ON {table} BEGIN
                INSERT INTO audit (relation, operation, who, at, old, new)
                SELECT '{table}', '{operation}', who, unixepoch('now', 'subsec'), {old}, {new} FROM hand;
             END;"
        )
    };
    let (old, new) = (image("OLD"), image("NEW"));
    trigger("INSERT", "NULL", &new) + &trigger("UPDATE", &old, &new) + &trigger("DELETE", &old, "NULL")
}

/// From here on everything is audited; the ledger is there already.
pub fn begin(connection: &Connection, kind: Kind) {
    let runs = [
        "id",
        "job_name",
        "state",
        "started_at",
        "ended_at",
        "payload",
        "payload_flags",
        "run_id",
        "trigger",
        "last_heartbeat_at",
    ];
    let ledger = [
        "repair_id",
        "watch",
        "table_name",
        "job_id",
        "job_name",
        "reason",
        "action",
        "instance",
        "started_at",
        "repaired_at",
        "before",
        "after",
        "outcome",
        "outcome_at",
        "acknowledged_at",
        "undo_of",
        "version",
    ];
    connection.execute_batch(&audit("runs", &runs)).unwrap();
    connection.execute_batch(&audit("beatwarden_repairs", &ledger)).unwrap();
    if kind == Kind::Elsewhere {
        connection.execute_batch(&audit("beats", &["job", "at"])).unwrap();
    }
}

/// What is asked of every table.
pub const QUESTIONS: &[Question] = &[
    (
        "Beatwarden changed a row that did not run, had a heartbeat, or was not yet due by the file's clock",
        "SELECT seq, old, new FROM audit WHERE relation = 'runs' AND who = 'dog' AND operation = 'UPDATE'
            AND NOT (old->>'state' = 'RUNNING' AND old->>'last_heartbeat_at' IS NULL AND new->>'state' = 'FAIL'
                AND unixepoch(old->>'started_at', 'subsec') <= at - 2 + 0.0005)",
    ),
    (
        "Beatwarden changed another column, or inserted or deleted a job",
        "SELECT seq, old, new FROM audit WHERE relation = 'runs' AND who = 'dog' AND (operation <> 'UPDATE'
            OR json_remove(old, '$.state', '$.ended_at', '$.payload') <> json_remove(new, '$.state', '$.ended_at', '$.payload'))",
    ),
    (
        "a change without its entry right behind it",
        "SELECT seq, old, new FROM audit AS change WHERE relation = 'runs' AND who = 'dog'
            AND NOT EXISTS (SELECT 1 FROM audit AS entry WHERE entry.seq = change.seq + 1 AND entry.relation = 'beatwarden_repairs'
                AND entry.operation = 'INSERT' AND entry.new->>'job_id' = CAST(change.new->>'id' AS TEXT))",
    ),
    (
        "an entry without its change right before it",
        "SELECT seq, old, new FROM audit AS entry WHERE relation = 'beatwarden_repairs' AND operation = 'INSERT'
            AND NOT EXISTS (SELECT 1 FROM audit AS change WHERE change.seq = entry.seq - 1 AND change.relation = 'runs'
                AND change.who = 'dog' AND entry.new->>'job_id' = CAST(change.new->>'id' AS TEXT))",
    ),
    (
        "an entry was taken away, or another part of it than its outcome was changed",
        "SELECT seq, old, new FROM audit WHERE relation = 'beatwarden_repairs' AND operation <> 'INSERT' AND NOT (operation = 'UPDATE'
            AND json_remove(old, '$.outcome', '$.outcome_at', '$.acknowledged_at') = json_remove(new, '$.outcome', '$.outcome_at', '$.acknowledged_at'))",
    ),
    (
        "a job was failed twice for one start",
        "SELECT min(seq), min(old), min(new) FROM audit WHERE relation = 'runs' AND who = 'dog'
          GROUP BY old->>'id', old->>'started_at' HAVING count(*) > 1",
    ),
];

/// What is asked where heartbeats stand in the row.
pub const OF_THE_ROW: &[Question] = &[
    (
        "a job was failed although its first heartbeat came in time by the file's clock",
        "SELECT fail.seq, fail.old, fail.new FROM audit AS fail CROSS JOIN audit AS beat ON beat.relation = 'runs' AND beat.who <> 'dog'
            AND beat.operation = 'UPDATE' AND beat.old->>'id' = fail.old->>'id'
            AND beat.old->>'last_heartbeat_at' IS NULL AND beat.new->>'last_heartbeat_at' IS NOT NULL
          WHERE fail.relation = 'runs' AND fail.who = 'dog' AND beat.at < unixepoch(fail.old->>'started_at', 'subsec') + 2",
    ),
    (
        "a false repair was noted of a job that never beat",
        "SELECT seq, old, new FROM audit AS note WHERE relation = 'beatwarden_repairs' AND new->>'outcome' = 'false_repair'
            AND old->>'outcome' IS NULL AND NOT EXISTS (SELECT 1 FROM audit AS beat WHERE beat.relation = 'runs' AND beat.who <> 'dog'
                AND beat.operation = 'UPDATE' AND CAST(beat.new->>'id' AS TEXT) = note.new->>'job_id')",
    ),
];

/// What is asked where the first heartbeat is a row of another table. Only one transaction writes at a time.
pub const OF_BEATS: &[Question] = &[
    (
        "a job was failed although its first row in the other table was there",
        "SELECT fail.seq, fail.old, fail.new FROM audit AS fail CROSS JOIN audit AS beat ON beat.relation = 'beats'
            AND beat.operation = 'INSERT' AND CAST(beat.new->>'job' AS TEXT) = CAST(fail.old->>'id' AS TEXT)
          WHERE fail.relation = 'runs' AND fail.who = 'dog' AND beat.seq < fail.seq",
    ),
    (
        "Beatwarden changed the other table",
        "SELECT seq, old, new FROM audit WHERE relation = 'beats' AND who = 'dog'",
    ),
    (
        "a false repair was noted of a job that neither beat nor ended",
        "SELECT seq, old, new FROM audit AS note WHERE relation = 'beatwarden_repairs' AND new->>'outcome' = 'false_repair'
            AND old->>'outcome' IS NULL AND NOT EXISTS (SELECT 1 FROM audit AS life WHERE life.who <> 'dog'
                AND (life.relation = 'beats' AND CAST(life.new->>'job' AS TEXT) = note.new->>'job_id'
                    OR life.relation = 'runs' AND life.operation = 'UPDATE' AND CAST(life.new->>'id' AS TEXT) = note.new->>'job_id'))",
    ),
    (
        "a job was failed, has beat since, and no false repair is noted",
        "SELECT seq, old, new FROM audit AS fail WHERE relation = 'runs' AND who = 'dog'
            AND EXISTS (SELECT 1 FROM beats WHERE job = fail.new->>'id')
            AND NOT EXISTS (SELECT 1 FROM beatwarden_repairs WHERE job_id = CAST(fail.new->>'id' AS TEXT) AND outcome = 'false_repair')",
    ),
];

/// Asks every question.
pub fn judge(connection: &Connection, kind: Kind) -> Verdict {
    // By job: the questions compare each change with the others of its job. Where two are joined, CROSS says that the rarer
    // one comes first, which SQLite can't know.
    let indexes = "CREATE INDEX IF NOT EXISTS audit_by_job ON audit (relation, operation, old->>'id');
        CREATE INDEX IF NOT EXISTS audit_by_who ON audit (relation, who);
        CREATE INDEX IF NOT EXISTS audit_by_job_after ON audit (relation, operation, CAST(new->>'id' AS TEXT));
        CREATE INDEX IF NOT EXISTS audit_by_other ON audit (relation, CAST(new->>'job' AS TEXT))";
    connection.execute_batch(indexes).unwrap();
    let mut violations = Vec::new();
    for (meaning, question) in kind.questions_of_a_file() {
        let mut statement = connection.prepare(question).unwrap();
        let shown = |row: &rusqlite::Row<'_>| {
            let (seq, old, new): (i64, Option<String>, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(format!("{seq}: {old:?} {new:?}"))
        };
        let rows = statement.query_map([], shown).unwrap();
        violations.extend(rows.map(|row| (meaning, row.unwrap())));
    }
    let count = |condition: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM beatwarden_repairs WHERE {condition}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    Verdict {
        repairs: count("action = 'fail'"),
        false_repairs: count("outcome = 'false_repair'"),
        violations,
    }
}

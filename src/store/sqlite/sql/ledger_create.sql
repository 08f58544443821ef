-- The ledger: one row for each committed repair. Run in one immediate transaction, so two sessions can't race. Run also on a
-- ledger of an earlier version, which lacks the indexes by table; those that it made stay, since it may run beside this one.
-- SQLite compares the names of tables without regard to case.
CREATE TABLE IF NOT EXISTS {{ledger}} (
    repair_id TEXT PRIMARY KEY NOT NULL,
    watch TEXT NOT NULL,
    table_name TEXT NOT NULL,
    job_id TEXT NOT NULL,
    job_name TEXT,
    reason TEXT NOT NULL,
    action TEXT NOT NULL,
    instance TEXT NOT NULL,
    started_at TEXT,
    repaired_at TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    outcome TEXT,
    outcome_at TEXT,
    acknowledged_at TEXT,
    undo_of TEXT,
    version INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS {{ledger_by_time}} ON {{ledger_unqualified}} (table_name COLLATE NOCASE, repaired_at);
CREATE INDEX IF NOT EXISTS {{ledger_by_job}} ON {{ledger_unqualified}} (table_name COLLATE NOCASE, job_id);
CREATE INDEX IF NOT EXISTS {{ledger_unacknowledged}} ON {{ledger_unqualified}} (table_name COLLATE NOCASE, repaired_at)
 WHERE outcome = 'false_repair' AND acknowledged_at IS NULL;
CREATE INDEX IF NOT EXISTS {{ledger_late}} ON {{ledger_unqualified}} (table_name COLLATE NOCASE, repaired_at)
 WHERE outcome = 'late_heartbeat' AND acknowledged_at IS NULL;

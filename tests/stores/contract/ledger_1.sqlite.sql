-- The ledger of layout 1, and an entry as it wrote them.
CREATE TABLE IF NOT EXISTS beatwarden_repairs (
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
CREATE INDEX IF NOT EXISTS beatwarden_repairs_by_time ON beatwarden_repairs (watch, repaired_at);
CREATE INDEX IF NOT EXISTS beatwarden_repairs_by_job ON beatwarden_repairs (watch, job_id);
INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, version)
VALUES ('0f1cb3f3-579d-5c30-b5ef-235e0327e5df', 'meltano', 'runs', '9', 'pipeline-9', 'missed_first', 'fail', 'old/1',
        '2026-11-01T10:00:00.000000Z', '2026-11-01T10:01:00.000000Z',
        '{"ended_at":null,"error_was":"null","state":"RUNNING"}', '{"ended_at":"2026-11-01 10:01:00.000000","state":"FAIL"}', 1);

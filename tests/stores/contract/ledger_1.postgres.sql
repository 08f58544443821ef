-- The ledger of layout 1, and an entry as it wrote them.
CREATE TABLE IF NOT EXISTS beatwarden_repairs (
    repair_id uuid PRIMARY KEY,
    watch text NOT NULL,
    table_name text NOT NULL,
    job_id text NOT NULL,
    job_name text,
    reason text NOT NULL,
    action text NOT NULL,
    instance text NOT NULL,
    started_at timestamptz,
    repaired_at timestamptz NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    outcome text,
    outcome_at timestamptz,
    acknowledged_at timestamptz,
    undo_of uuid,
    version integer NOT NULL
);
CREATE INDEX IF NOT EXISTS beatwarden_repairs_by_time ON beatwarden_repairs (watch, repaired_at);
CREATE INDEX IF NOT EXISTS beatwarden_repairs_by_job ON beatwarden_repairs (watch, job_id);
INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, version)
VALUES ('0f1cb3f3-579d-5c30-b5ef-235e0327e5df', 'meltano', 'runs', '9', 'pipeline-9', 'missed_first', 'fail', 'old/1',
        '2026-11-01 10:00:00+00', '2026-11-01 10:01:00+00', '{"state": "RUNNING", "ended_at": null, "error_was": "null"}',
        '{"state": "FAIL", "ended_at": "2026-11-01T10:01:00"}', 1);

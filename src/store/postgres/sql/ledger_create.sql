-- The ledger: one row for each committed repair. Run in one transaction under an advisory lock, because two sessions
-- that create the same table at the same time can fail even with IF NOT EXISTS.
CREATE TABLE IF NOT EXISTS {{ledger}} (
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
CREATE INDEX IF NOT EXISTS {{ledger_by_time}} ON {{ledger}} (watch, repaired_at);
CREATE INDEX IF NOT EXISTS {{ledger_by_job}} ON {{ledger}} (watch, job_id);
CREATE INDEX IF NOT EXISTS {{ledger_unacknowledged}} ON {{ledger}} (watch, repaired_at)
 WHERE outcome = 'false_repair' AND acknowledged_at IS NULL;

-- The ledger: one row for each committed repair. Run in one transaction under an advisory lock, because two sessions
-- that create the same table at the same time can fail even with IF NOT EXISTS. Run also on a ledger of an earlier version,
-- which lacks the indexes by table: without them everything is right, and a long ledger is read more slowly. The indexes
-- that such a version made stay, since it may run beside this one.
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
CREATE INDEX IF NOT EXISTS {{ledger_by_time}} ON {{ledger}} (table_name, repaired_at);
CREATE INDEX IF NOT EXISTS {{ledger_by_job}} ON {{ledger}} (table_name, job_id);
CREATE INDEX IF NOT EXISTS {{ledger_unacknowledged}} ON {{ledger}} (table_name, repaired_at)
 WHERE outcome = 'false_repair' AND acknowledged_at IS NULL;

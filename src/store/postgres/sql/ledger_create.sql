-- The ledger: one row for each committed repair. Run in one transaction under an advisory lock, because two sessions
-- that create the same table at the same time can fail even with IF NOT EXISTS. Run also on a ledger of an earlier version,
-- which lacks the indexes by table: without them everything is right, and a long ledger is read more slowly. The indexes
-- that such a version made stay, since it may run beside this one.
CREATE TABLE IF NOT EXISTS {{ledger}} (
    repair_id pg_catalog.uuid PRIMARY KEY,
    watch pg_catalog.text NOT NULL,
    table_name pg_catalog.text NOT NULL,
    job_id pg_catalog.text NOT NULL,
    job_name pg_catalog.text,
    reason pg_catalog.text NOT NULL,
    action pg_catalog.text NOT NULL,
    instance pg_catalog.text NOT NULL,
    started_at pg_catalog.timestamptz,
    repaired_at pg_catalog.timestamptz NOT NULL,
    before pg_catalog.jsonb NOT NULL,
    after pg_catalog.jsonb NOT NULL,
    outcome pg_catalog.text,
    outcome_at pg_catalog.timestamptz,
    acknowledged_at pg_catalog.timestamptz,
    undo_of pg_catalog.uuid,
    version integer NOT NULL
);
CREATE INDEX IF NOT EXISTS {{ledger_by_time}} ON {{ledger}} (table_name, repaired_at);
CREATE INDEX IF NOT EXISTS {{ledger_by_job}} ON {{ledger}} (table_name, job_id);
CREATE INDEX IF NOT EXISTS {{ledger_unacknowledged}} ON {{ledger}} (table_name, repaired_at)
 WHERE outcome OPERATOR(pg_catalog.=) 'false_repair' AND acknowledged_at IS NULL;
CREATE INDEX IF NOT EXISTS {{ledger_late}} ON {{ledger}} (table_name, repaired_at)
 WHERE outcome OPERATOR(pg_catalog.=) 'late_heartbeat' AND acknowledged_at IS NULL;

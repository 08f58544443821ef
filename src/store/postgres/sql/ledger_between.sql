/* beatwarden: ledger between */
-- Returns the entries of this table ($1, its spellings) whose identities lie between $2 and $3, both included: those that
-- begin with what a person typed; 20 at most. By the primary key.
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before::text AS before, after::text AS after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE table_name = ANY ($1::text[]) AND repair_id BETWEEN $2 AND $3
 ORDER BY repaired_at DESC
 LIMIT 20

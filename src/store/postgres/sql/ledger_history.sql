/* beatwarden: ledger history */
-- Returns the newest entries of this watch ($1), newest first, $2 at most. By the index on (watch, repaired_at).
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before::text AS before, after::text AS after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE watch = $1
 ORDER BY repaired_at DESC
 LIMIT $2

/* beatwarden: ledger of one job */
-- Returns the entries of this watch (?1) for one job (?2), oldest first, 100 at most. By the index on (watch, job_id).
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before, after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE watch = ?1 AND job_id = ?2
 ORDER BY repaired_at
 LIMIT 100

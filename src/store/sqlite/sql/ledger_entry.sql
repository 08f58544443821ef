/* beatwarden: ledger entry */
-- Returns one repair (?2) of this watch (?1). By the primary key.
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before, after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE watch = ?1 AND repair_id = ?2

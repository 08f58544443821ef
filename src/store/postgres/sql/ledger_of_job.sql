/* beatwarden: ledger of one job */
-- Returns the entries of this table ($1, its spellings) for one job ($2), oldest first, 100 at most. By the index on (table_name, job_id).
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before::text AS before, after::text AS after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE table_name = ANY ($1::text[]) AND job_id = $2
 ORDER BY repaired_at
 LIMIT 100

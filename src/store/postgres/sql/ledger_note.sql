/* beatwarden: ledger note */
-- Writes what turned out ($3) about a repair ($2) of this table ($1, its spellings), once: a second writer changes nothing. Not
-- where the repair was taken back, since the job that was given back is meant to run. Returns the entry it changed.
-- By the primary key and the index on (table_name, job_id).
UPDATE {{ledger}} AS entry
   SET outcome = $3, outcome_at = pg_catalog.now()
 WHERE entry.table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND entry.repair_id OPERATOR(pg_catalog.=) $2 AND entry.outcome IS NULL
   AND NOT EXISTS (SELECT FROM {{ledger}} AS undo
                    WHERE undo.table_name OPERATOR(pg_catalog.=) entry.table_name AND undo.job_id OPERATOR(pg_catalog.=) entry.job_id AND undo.undo_of OPERATOR(pg_catalog.=) entry.repair_id)
RETURNING entry.repair_id

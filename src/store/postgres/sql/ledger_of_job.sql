/* beatwarden: ledger of one job */
-- Returns the entries of this table ($1, its spellings) for one job ($2), oldest first, 100 at most. By the index on (table_name, job_id).
SELECT {{entry}}
  FROM {{ledger}}
 WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND job_id OPERATOR(pg_catalog.=) $2
 ORDER BY repaired_at
 LIMIT 100

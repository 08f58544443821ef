/* beatwarden: ledger of jobs */
-- Returns the entries of this table ($1, its spellings) for the given jobs ($2). By the index on (table_name, job_id).
SELECT {{entry}}
  FROM {{ledger}}
 WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND job_id OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[])

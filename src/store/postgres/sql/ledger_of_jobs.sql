/* beatwarden: ledger of jobs */
-- Returns the entries of this table ($1, its spellings) for the given jobs ($2). By the index on (table_name, job_id).
SELECT {{entry}}
  FROM {{ledger}}
 WHERE table_name = ANY ($1::text[]) AND job_id = ANY ($2::text[])

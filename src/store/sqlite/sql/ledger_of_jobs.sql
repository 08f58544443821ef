/* beatwarden: ledger of jobs */
-- Returns the entries of this table (?1, its spellings) for the given jobs (?2, a JSON array). By the index on (table_name, job_id).
SELECT {{entry}}
  FROM {{ledger}}
 WHERE table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1)) AND job_id IN (SELECT value FROM json_each(?2))

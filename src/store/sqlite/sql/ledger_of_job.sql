/* beatwarden: ledger of one job */
-- Returns the entries of this table (?1, its spellings) for one job (?2), oldest first, 100 at most. By the index on (table_name, job_id).
SELECT {{entry}}
  FROM {{ledger}}
 WHERE table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1)) AND job_id = ?2
 ORDER BY repaired_at
 LIMIT 100

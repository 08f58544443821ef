/* beatwarden: ledger between */
-- Returns the entries of this table (?1, its spellings) whose identities lie between ?2 and ?3, both included: one, or those
-- that begin with what a person typed; 20 at most. By the primary key; all identities are in small letters.
SELECT {{entry}}
  FROM {{ledger}}
 WHERE +table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1)) AND repair_id BETWEEN ?2 AND ?3
 ORDER BY repaired_at DESC
 LIMIT 20

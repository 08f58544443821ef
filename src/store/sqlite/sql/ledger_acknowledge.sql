/* beatwarden: ledger acknowledge */
-- Acknowledges the outcome of a repair (?2) of this table (?1, its spellings), at ?3. By the primary key.
UPDATE {{ledger}}
   SET acknowledged_at = ?3
 WHERE table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1)) AND repair_id = ?2 AND outcome IS NOT NULL AND acknowledged_at IS NULL

/* beatwarden: ledger acknowledge */
-- Acknowledges a false repair ($2) of this table ($1, its spellings). Returns the entry it changed. By the primary key.
UPDATE {{ledger}}
   SET acknowledged_at = now()
 WHERE table_name = ANY ($1::text[]) AND repair_id = $2 AND outcome = 'false_repair' AND acknowledged_at IS NULL
RETURNING repair_id

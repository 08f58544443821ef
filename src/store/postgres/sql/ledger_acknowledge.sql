/* beatwarden: ledger acknowledge */
-- Acknowledges the outcome of a repair ($2) of this table ($1, its spellings). Returns the entry it changed. By the primary key.
UPDATE {{ledger}}
   SET acknowledged_at = pg_catalog.now()
 WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND repair_id OPERATOR(pg_catalog.=) $2 AND outcome IS NOT NULL AND acknowledged_at IS NULL
RETURNING repair_id

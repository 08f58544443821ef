/* beatwarden: ledger between */
-- Returns the entries of this table ($1, its spellings) whose identities lie between $2 and $3, both included: those that
-- begin with what a person typed; 20 at most. By the primary key.
SELECT {{entry}}
  FROM {{ledger}}
 WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND repair_id OPERATOR(pg_catalog.>=) $2 AND repair_id OPERATOR(pg_catalog.<=) $3
 ORDER BY repaired_at DESC
 LIMIT 20

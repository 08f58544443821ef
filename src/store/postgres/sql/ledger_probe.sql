/* beatwarden: ledger probe */
-- Returns whether there is an entry of this table ($1, its spellings): without one nothing else is asked. By the index on
-- (table_name, repaired_at).
SELECT EXISTS (SELECT FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])) AS found

/* beatwarden: ledger probe */
-- Returns whether there is an entry of this table ($1, its spellings): without one nothing else is asked. By the index on
-- (table_name, repaired_at).
SELECT EXISTS (SELECT FROM {{ledger}} WHERE table_name = ANY ($1::text[])) AS found

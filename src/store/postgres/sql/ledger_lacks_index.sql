/* beatwarden: ledger layout */
-- Returns whether the ledger ($1, quoted) lacks an index ($2, its name) of this version, and this role may make it. Catalog only.
SELECT ledger.oid IS NOT NULL AND pg_has_role(class.relowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_index JOIN pg_class AS index ON index.oid = pg_index.indexrelid
                        WHERE pg_index.indrelid = ledger.oid AND index.relname = $2::text) AS lacking
  FROM (SELECT to_regclass($1::text)::oid AS oid) AS ledger JOIN pg_class AS class ON class.oid = ledger.oid

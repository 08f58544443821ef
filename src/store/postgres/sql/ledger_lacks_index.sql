/* beatwarden: ledger layout */
-- Returns whether the ledger ($1, quoted) lacks an index ($2, its name) of this version, and whether this role may make it; no
-- row where there is no ledger. Catalog only.
SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_index AS found JOIN pg_catalog.pg_class AS index ON index.oid OPERATOR(pg_catalog.=) found.indexrelid
                    WHERE found.indrelid OPERATOR(pg_catalog.=) class.oid AND index.relname OPERATOR(pg_catalog.=) $2::pg_catalog.text) AS lacking,
       pg_catalog.pg_has_role(class.relowner, 'USAGE') AS ours
  FROM (SELECT pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid AS oid) AS ledger JOIN pg_catalog.pg_class AS class ON class.oid OPERATOR(pg_catalog.=) ledger.oid

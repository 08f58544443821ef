/* beatwarden: index state */
-- Returns whether the index of a name ($2) on the table ($1, oid) is valid; no row where there is none. Catalog only.
SELECT index.indisvalid AS valid
  FROM pg_catalog.pg_index AS index JOIN pg_catalog.pg_class AS class ON class.oid OPERATOR(pg_catalog.=) index.indexrelid
 WHERE index.indrelid OPERATOR(pg_catalog.=) $1 AND class.relname OPERATOR(pg_catalog.=) $2::pg_catalog.text

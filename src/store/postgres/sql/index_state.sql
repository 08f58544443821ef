/* beatwarden: index state */
-- Returns whether the index of a name ($2) on the table ($1, oid) is valid; no row where there is none. Catalog only.
SELECT index.indisvalid AS valid
  FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid
 WHERE index.indrelid = $1 AND class.relname = $2::text

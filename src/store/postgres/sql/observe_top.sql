/* beatwarden: observe top */
-- Returns the greatest key of the table: one below a key that was seen means that the table was emptied or restored. By
-- the key's unique index, backwards.
SELECT pg_catalog.max(target.{{id}})::pg_catalog.text AS top FROM {{table}} AS target WHERE {{only}}

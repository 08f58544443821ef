/* beatwarden: sample */
-- Returns short values of some columns, an array for each row, of $1 rows at most: the newest by the key where there is an index to go
-- by, else any.
-- Reads a bounded number of rows, and of each only these columns.
SELECT ARRAY[{{values}}]::pg_catalog.text[] AS sampled FROM {{table}} AS target {{order}} LIMIT $1

/* beatwarden: running plan */
-- Returns how rows in some states (?1, a JSON array) would be found. Reads no row.
EXPLAIN QUERY PLAN SELECT 1 FROM {{table}} AS target WHERE target.{{state}} IN (SELECT value FROM json_each(?1))

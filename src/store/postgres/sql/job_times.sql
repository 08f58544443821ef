/* beatwarden: job times */
-- Returns start and heartbeat of one row ($1, its key) as they stand in it, cut. By the key's unique index.
SELECT pg_catalog.left({{started_at_value}}::pg_catalog.text, 60) AS started_at, pg_catalog.left({{heartbeat_at_value}}::pg_catalog.text, 60) AS heartbeat_at
  FROM {{table}} AS target WHERE target.{{id}}::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.text LIMIT 1

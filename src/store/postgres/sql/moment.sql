/* beatwarden: moment */
-- Returns one row: the time, the server, and a text that shows whether the facts still hold (part_version.sql). Catalog only.
SELECT pg_catalog.now() AS now, {{identity}} AS server, {{server_started_at}} AS server_started_at,
       {{version}} AS version

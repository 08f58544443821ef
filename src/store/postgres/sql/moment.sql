/* beatwarden: moment */
-- Returns one row: the time, the server, a text that shows whether the facts still hold (part_version.sql), and which
-- transactions the snapshot may not show (part_transactions.sql). Catalog only.
SELECT pg_catalog.now() AS now, {{identity}} AS server, {{server_started_at}} AS server_started_at,
       {{version}} AS version, {{transactions}} AS transactions

/* beatwarden: moment */
-- Returns one row: the time, the server, and a text that changes when the catalog's entry of the table ($1) or the ledger
-- ($2) does, or when the server begins or ceases to take writes: then the facts are asked anew. Catalog only. Each entry by a
-- question of its own: one with both, and an aggregate over them, takes twice as long to plan.
SELECT now() AS now, {{identity}} AS server, pg_postmaster_start_time() AS server_started_at,
       concat_ws('/', current_setting('default_transaction_read_only'),
                 (SELECT class.oid::text || ':' || class.xmin::text FROM pg_class AS class WHERE class.oid = to_regclass($1::text)),
                 (SELECT class.oid::text || ':' || class.xmin::text FROM pg_class AS class WHERE class.oid = to_regclass($2::text))) AS version

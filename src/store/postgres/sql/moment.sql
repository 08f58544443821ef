/* beatwarden: moment */
-- Returns one row: the time, the server, and a text that changes when the catalog's entry of the table ($1) or the ledger
-- ($2) does, or when the server begins or ceases to take writes: then the facts are asked anew. Catalog only. Each entry by a
-- question of its own: one with both, and an aggregate over them, takes twice as long to plan.
SELECT pg_catalog.now() AS now, {{identity}} AS server, pg_catalog.pg_postmaster_start_time() AS server_started_at,
       pg_catalog.concat_ws('/', pg_catalog.current_setting('default_transaction_read_only'),
                 (SELECT pg_catalog.concat(class.oid, ':', class.xmin) FROM pg_catalog.pg_class AS class WHERE class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)),
                 (SELECT pg_catalog.concat(class.oid, ':', class.xmin) FROM pg_catalog.pg_class AS class WHERE class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($2::pg_catalog.text))) AS version

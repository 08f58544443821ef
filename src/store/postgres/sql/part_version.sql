-- A text that changes when the catalog's entry of the table ($1) or the ledger ($2) does, or when the server begins or ceases
-- to take writes: then the facts are asked again. Each entry by a question of its own: one with both, and an aggregate over
-- them, takes twice as long to plan.
pg_catalog.concat_ws('/', pg_catalog.current_setting('default_transaction_read_only'),
    (SELECT pg_catalog.concat(class.oid, ':', class.xmin) FROM pg_catalog.pg_class AS class
      WHERE class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)),
    (SELECT pg_catalog.concat(class.oid, ':', class.xmin) FROM pg_catalog.pg_class AS class
      WHERE class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($2::pg_catalog.text)))

/* beatwarden: facts */
-- Returns one row: the time, the server, and what this role may do with table ($1) and ledger ($2).
-- `guard` tells of the guard's triggers. Reads the catalog only, so it can't wait for anybody. `shape` tells whether the columns ($3) are still those that the
-- other statements were written for; the rights are asked each time because they can be withdrawn while we watch.
SELECT now() AS now, {{identity}} AS server, pg_postmaster_start_time() AS server_started_at,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,
       relation.oid AS oid,
       (SELECT string_agg(attribute.attname || ':' || attribute.atttypid || ':' || attribute.atttypmod, ',' ORDER BY attribute.attname)
          FROM pg_attribute AS attribute
         WHERE attribute.attrelid = relation.oid AND NOT attribute.attisdropped AND attribute.attname = ANY ($3::text[])) AS shape,
       row_security_active(relation.oid) AS row_security,
       ARRAY(SELECT attribute.attname::text
               FROM pg_attribute AS attribute
              WHERE attribute.attrelid = relation.oid AND NOT attribute.attisdropped AND attribute.attname = ANY ($4::text[])
                AND NOT has_column_privilege(relation.oid, attribute.attnum, 'UPDATE')) AS not_updatable,
       ARRAY(SELECT attribute.attname::text
               FROM pg_attribute AS attribute
              WHERE attribute.attrelid = relation.oid AND NOT attribute.attisdropped AND attribute.attname = ANY ($4::text[])
                AND NOT has_column_privilege(relation.oid, attribute.attnum, 'SELECT')) AS not_readable,
       ({{guard_state}}) AS guard,
       ledger.oid IS NOT NULL AS ledger_exists,
       coalesce(has_schema_privilege(to_regnamespace($5::text)::oid, 'CREATE'), false) AS ledger_creatable,
       17 = (SELECT count(*) FROM pg_attribute AS attribute
              WHERE attribute.attrelid = ledger.oid AND NOT attribute.attisdropped AND attribute.attname = ANY ($6::text[])) AS ledger_ours,
       coalesce(has_table_privilege(ledger.oid, 'SELECT'), false) AS ledger_readable,
       coalesce(has_table_privilege(ledger.oid, 'INSERT'), false) AS ledger_writable,
       coalesce((SELECT bool_and(has_column_privilege(ledger.oid, attribute.attnum, 'UPDATE')) FROM pg_attribute AS attribute
                  WHERE attribute.attrelid = ledger.oid AND attribute.attname IN ('outcome', 'outcome_at', 'acknowledged_at')),
                false) AS ledger_notable
  FROM (SELECT to_regclass($1::text)::oid AS oid) AS relation,
       (SELECT to_regclass($2::text)::oid AS oid) AS ledger

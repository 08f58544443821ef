/* beatwarden: facts */
-- Returns one row: the time, the server, and what this role may do with table ($1) and ledger ($2).
-- `callable` reports whether it may call the function that ends jobs ($9; NULL where that is none), NULL where that is gone.
-- `computed` names the columns that are to be written ($4) and that no one can set.
-- `guard` and `ledger_flaw` report the guard's triggers and what is wrong with the ledger. Reads the catalog only, so it can't
-- wait for another session. `shape` shows whether the columns ($3), and those of other tables ($10, and $11 a column of each), are
-- still those that the other statements were written for, and `other_row_security` which of those tables hide rows; the
-- rights are asked each time because they can be withdrawn while we watch.
SELECT pg_catalog.now() AS now, {{identity}} AS server, {{server_started_at}} AS server_started_at,
       {{in_recovery}} OR pg_catalog.current_setting('default_transaction_read_only') OPERATOR(pg_catalog.=) 'on' AS read_only,
       relation.oid AS oid,
       pg_catalog.concat_ws(';',
           (SELECT pg_catalog.string_agg(pg_catalog.concat(attribute.attname, ':', attribute.atttypid, ':', attribute.atttypmod), ',' ORDER BY attribute.attname)
              FROM pg_catalog.pg_attribute AS attribute
             WHERE attribute.attrelid OPERATOR(pg_catalog.=) relation.oid AND NOT attribute.attisdropped
               AND attribute.attname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[])),
           (SELECT pg_catalog.string_agg(pg_catalog.concat(attribute.attrelid, ':', attribute.attname, ':', attribute.atttypid), ',' ORDER BY attribute.attrelid, attribute.attname)
              FROM ROWS FROM (pg_catalog.unnest($10::pg_catalog.text[]), pg_catalog.unnest($11::pg_catalog.text[])) AS used(other, name)
              JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(used.other)::pg_catalog.oid
               AND attribute.attname OPERATOR(pg_catalog.=) used.name AND NOT attribute.attisdropped)) AS shape,
       ARRAY(SELECT used.other FROM pg_catalog.unnest($10::pg_catalog.text[]) AS used(other)
              WHERE pg_catalog.row_security_active(pg_catalog.to_regclass(used.other)::pg_catalog.oid)) AS other_row_security,
       ARRAY(SELECT pg_catalog.concat(attribute.attname, E'\n', pg_catalog.format('%s', foreign_cast.castfunc::pg_catalog.regprocedure))
               FROM pg_catalog.pg_attribute AS attribute CROSS JOIN LATERAL ({{bottom_type}}) AS base
               JOIN pg_catalog.pg_cast AS foreign_cast ON foreign_cast.castfunc OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
                AND (foreign_cast.castsource OPERATOR(pg_catalog.=) base.oid AND foreign_cast.casttarget OPERATOR(pg_catalog.=) '25'::pg_catalog.oid
                     OR foreign_cast.casttarget OPERATOR(pg_catalog.=) base.oid AND foreign_cast.castsource OPERATOR(pg_catalog.=) '25'::pg_catalog.oid)
              WHERE attribute.attrelid OPERATOR(pg_catalog.=) relation.oid AND NOT attribute.attisdropped
                AND attribute.attname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[])
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS extension
                                 WHERE extension.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                                   AND extension.objid OPERATOR(pg_catalog.=) foreign_cast.castfunc
                                   AND extension.deptype OPERATOR(pg_catalog.=) 'e')) AS foreign_casts,
       pg_catalog.row_security_active(relation.oid) AS row_security,
       ARRAY(SELECT attribute.attname::pg_catalog.text
               FROM pg_catalog.pg_attribute AS attribute
              WHERE attribute.attrelid OPERATOR(pg_catalog.=) relation.oid AND NOT attribute.attisdropped
                AND attribute.attname OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.text[])
                AND NOT pg_catalog.has_column_privilege(relation.oid, attribute.attnum, 'UPDATE')) AS not_updatable,
       ARRAY(SELECT attribute.attname::pg_catalog.text
               FROM pg_catalog.pg_attribute AS attribute
              WHERE attribute.attrelid OPERATOR(pg_catalog.=) relation.oid AND NOT attribute.attisdropped
                AND attribute.attname OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.text[])
                AND NOT pg_catalog.has_column_privilege(relation.oid, attribute.attnum, 'SELECT')) AS not_readable,
       ARRAY(SELECT attribute.attname::pg_catalog.text
               FROM pg_catalog.pg_attribute AS attribute
              WHERE attribute.attrelid OPERATOR(pg_catalog.=) relation.oid AND NOT attribute.attisdropped
                AND attribute.attname OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.text[])
                AND (attribute.attgenerated OPERATOR(pg_catalog.<>) '' OR attribute.attidentity OPERATOR(pg_catalog.=) 'a')) AS computed,
       ({{guard_state}}) AS guard,
       CASE WHEN $9::pg_catalog.oid IS NULL THEN true
            ELSE (SELECT pg_catalog.has_function_privilege(procedure.oid, 'EXECUTE') AND pg_catalog.has_schema_privilege(procedure.pronamespace, 'USAGE')
                    FROM pg_catalog.pg_proc AS procedure WHERE procedure.oid OPERATOR(pg_catalog.=) $9::pg_catalog.oid) END AS callable,
       ledger.oid IS NOT NULL AS ledger_exists,
       coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace($5::pg_catalog.text)::pg_catalog.oid, 'CREATE'), false) AS ledger_creatable,
       ({{ledger_flaw}}) AS ledger_flaw,
       coalesce(pg_catalog.has_table_privilege(ledger.oid, 'SELECT'), false) AS ledger_readable,
       coalesce(pg_catalog.has_table_privilege(ledger.oid, 'INSERT'), false) AS ledger_writable,
       coalesce((SELECT pg_catalog.bool_and(pg_catalog.has_column_privilege(ledger.oid, attribute.attnum, 'UPDATE')) FROM pg_catalog.pg_attribute AS attribute
                  WHERE attribute.attrelid OPERATOR(pg_catalog.=) ledger.oid
                    AND attribute.attname OPERATOR(pg_catalog.=) ANY ('{outcome,outcome_at,acknowledged_at}'::pg_catalog.name[])),
                false) AS ledger_notable
  FROM (SELECT pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid AS oid) AS relation,
       (SELECT pg_catalog.to_regclass($2::pg_catalog.text)::pg_catalog.oid AS oid) AS ledger

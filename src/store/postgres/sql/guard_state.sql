-- One JSON array with the guard's triggers ($8 and $8_start) on the relation, and of each what it is and calls; NULL where
-- there is none. `holder_may`: whether the owner of the function is the table's owner, or may make triggers on it anyway.
SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
           'name', trigger.tgname::pg_catalog.text, 'enabled', trigger.tgenabled::pg_catalog.text, 'type', trigger.tgtype,
           'plain', trigger.tgqual IS NULL AND trigger.tgnargs OPERATOR(pg_catalog.=) 0 AND trigger.tgconstraint OPERATOR(pg_catalog.=) 0
                    AND trigger.tgoldtable IS NULL AND trigger.tgnewtable IS NULL,
           'of_state', trigger.tgattr::pg_catalog.text OPERATOR(pg_catalog.=) (SELECT attribute.attnum::pg_catalog.text FROM pg_catalog.pg_attribute AS attribute
                                                WHERE attribute.attrelid OPERATOR(pg_catalog.=) relation.oid AND attribute.attname OPERATOR(pg_catalog.=) $7::pg_catalog.text),
           'schema', namespace.nspname::pg_catalog.text, 'function', proc.proname::pg_catalog.text,
           'body', proc.prosrc, 'language', language.lanname::pg_catalog.text,
           'definer', proc.prosecdef, 'settings', pg_catalog.array_to_string(proc.proconfig, '; '),
           'holder', pg_catalog.pg_get_userbyid(proc.proowner)::pg_catalog.text,
           'holder_may', proc.proowner OPERATOR(pg_catalog.=) class.relowner OR pg_catalog.has_table_privilege(proc.proowner, relation.oid, 'TRIGGER')))::pg_catalog.text
  FROM pg_catalog.pg_trigger AS trigger
  JOIN pg_catalog.pg_class AS class ON class.oid OPERATOR(pg_catalog.=) trigger.tgrelid
  JOIN pg_catalog.pg_proc AS proc ON proc.oid OPERATOR(pg_catalog.=) trigger.tgfoid
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) proc.pronamespace
  JOIN pg_catalog.pg_language AS language ON language.oid OPERATOR(pg_catalog.=) proc.prolang
 WHERE trigger.tgrelid OPERATOR(pg_catalog.=) relation.oid
   AND trigger.tgname OPERATOR(pg_catalog.=) ANY (ARRAY[$8::pg_catalog.text, pg_catalog.concat($8::pg_catalog.text, '_start')])

-- One JSON array with the guard's triggers ($8 and $8_start) on the relation, and of each what it is and calls; NULL where
-- there is none. `holder_may`: whether the owner of the function is the table's owner, or may make triggers on it anyway.
SELECT json_agg(json_build_object(
           'name', trigger.tgname::text, 'enabled', trigger.tgenabled::text, 'type', trigger.tgtype,
           'plain', trigger.tgqual IS NULL AND trigger.tgnargs = 0 AND trigger.tgconstraint = 0
                    AND trigger.tgoldtable IS NULL AND trigger.tgnewtable IS NULL,
           'of_state', trigger.tgattr::text = (SELECT attribute.attnum::text FROM pg_catalog.pg_attribute AS attribute
                                                WHERE attribute.attrelid = relation.oid AND attribute.attname::text = $7::text),
           'schema', namespace.nspname::text, 'function', proc.proname::text, 'body', proc.prosrc, 'language', language.lanname::text,
           'definer', proc.prosecdef, 'settings', array_to_string(proc.proconfig, '; '),
           'holder', pg_get_userbyid(proc.proowner)::text,
           'holder_may', proc.proowner = class.relowner OR has_table_privilege(proc.proowner, relation.oid, 'TRIGGER')))::text
  FROM pg_catalog.pg_trigger AS trigger
  JOIN pg_catalog.pg_class AS class ON class.oid = trigger.tgrelid
  JOIN pg_catalog.pg_proc AS proc ON proc.oid = trigger.tgfoid
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = proc.pronamespace
  JOIN pg_catalog.pg_language AS language ON language.oid = proc.prolang
 WHERE trigger.tgrelid = relation.oid AND trigger.tgname::text IN ($8::text, $8::text || '_start')

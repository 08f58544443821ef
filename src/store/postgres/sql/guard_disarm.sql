-- Takes no lock on the table: from here on the guard does nothing, whenever its trigger can be dropped. A function that
-- the guard of another table calls as well (names of earlier versions could be shared) is left as it is.
DO {{tag}}
DECLARE
    guard regprocedure;
BEGIN
    FOR guard IN
        SELECT DISTINCT trigger.tgfoid FROM pg_catalog.pg_trigger AS trigger
         WHERE trigger.tgrelid = pg_catalog.to_regclass({{table_literal}})
           AND trigger.tgfoid = ANY (ARRAY[{{guard_functions}}]::oid[])
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS other
                            WHERE other.tgfoid = trigger.tgfoid AND other.tgrelid <> trigger.tgrelid
                              AND other.tgrelid <> ALL (ARRAY(SELECT relid FROM pg_catalog.pg_partition_tree(trigger.tgrelid))))
    LOOP
        EXECUTE pg_catalog.format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql '
            'SET search_path = pg_catalog, pg_temp AS %L', guard, 'BEGIN RETURN NEW; END');
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'a function of the guard belongs to another role: it stays in force until its trigger is dropped';
END
{{tag}};

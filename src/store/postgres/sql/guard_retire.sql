-- Functions of the guard that no trigger calls any more.
DO {{tag}}
DECLARE
    guard regprocedure;
BEGIN
    FOR guard IN
        SELECT proc.oid FROM pg_catalog.pg_proc AS proc
         WHERE proc.oid = ANY (ARRAY[{{guard_retired}}]::oid[])
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS trigger WHERE trigger.tgfoid = proc.oid)
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION %s', guard);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'a function of the guard belongs to another role: nothing calls it, and its owner may drop it';
END
{{tag}};

-- A function that existed keeps its owner when it is replaced, and its owner may replace it again: writers would run that
-- role's code. So it belongs to the table's owner, or nothing is installed. In the transaction of the installation, which
-- keeps others from changing the function until it is committed.
DO {{tag}}
DECLARE
    guard CONSTANT regprocedure := pg_catalog.to_regprocedure({{guard_function_literal}});
    holder CONSTANT name := (SELECT pg_catalog.pg_get_userbyid(proowner) FROM pg_catalog.pg_proc WHERE oid = guard);
    wanted CONSTANT name := (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class
                              WHERE oid = pg_catalog.to_regclass({{table_literal}}));
BEGIN
    IF holder NOT IN (wanted, current_user) THEN
        RAISE EXCEPTION 'the function % belongs to %, who could change it under the writer', guard, holder
              USING ERRCODE = 'insufficient_privilege', HINT = 'drop it, or give it to the owner of the table, and install again';
    END IF;
    IF holder <> wanted THEN
        EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO %I', guard, wanted);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    -- Who may make triggers on the table but is not a member of its owner keeps the function.
    IF holder NOT IN (wanted, current_user) THEN
        RAISE;
    END IF;
END
{{tag}};

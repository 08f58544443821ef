-- The ledger belongs to who runs this. One that is there has to belong to them, to the table's owner, to the role itself or to
-- a superuser: who owns it can change what stands in it.
DO {{tag}}
DECLARE
    holder name := (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({{ledger_literal}}));
BEGIN
    IF holder IS NULL THEN
{{ledger_create}}
    ELSIF holder NOT IN (current_user, {{role_literal}}) AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_roles WHERE rolname = holder AND (rolsuper OR oid =
            (SELECT relowner FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({{table_literal}})))) THEN
        RAISE EXCEPTION 'the table % belongs to the role %: drop it, or name another ledger in watch.repair.ledger', {{ledger_literal}}, holder;
    END IF;
END
{{tag}};

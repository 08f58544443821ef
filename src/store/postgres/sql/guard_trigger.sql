-- Fires for new rows, last of all, when the start is known; and after changes of the state, never for beats.
CREATE OR REPLACE TRIGGER {{guard_trigger}} BEFORE INSERT ON {{table}}
    FOR EACH ROW EXECUTE FUNCTION {{guard_function}}();
CREATE OR REPLACE TRIGGER {{guard_trigger}}_start AFTER UPDATE OF {{state}} ON {{table}}
    FOR EACH ROW EXECUTE FUNCTION {{guard_function}}();
-- A trigger that was switched off stays so when it is replaced. Switching it on takes the table's owner.
DO {{tag}}
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = pg_catalog.to_regclass({{table_literal}})
                AND tgname IN ('{{guard_trigger}}', '{{guard_trigger}}_start') AND tgenabled NOT IN ('O', 'A')) THEN
        ALTER TABLE {{table}} ENABLE TRIGGER {{guard_trigger}}, ENABLE TRIGGER {{guard_trigger}}_start;
    END IF;
END
{{tag}};

-- Fires for new rows, last of all, when the start is known; and after changes of the state, never for beats.
CREATE OR REPLACE TRIGGER {{guard_trigger}} BEFORE INSERT ON {{table}}
    FOR EACH ROW EXECUTE FUNCTION {{guard_function}}();
CREATE OR REPLACE TRIGGER {{guard_trigger}}_start AFTER UPDATE OF {{state}} ON {{table}}
    FOR EACH ROW EXECUTE FUNCTION {{guard_function}}();

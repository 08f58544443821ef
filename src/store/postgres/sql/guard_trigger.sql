-- Fires for new rows and for changes of the state, never for beats; last of all, when the start is known.
CREATE OR REPLACE TRIGGER {{guard_trigger}} BEFORE INSERT OR UPDATE OF {{state}} ON {{table}}
    FOR EACH ROW EXECUTE FUNCTION {{guard_function}}();

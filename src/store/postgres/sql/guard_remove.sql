-- Needs the table to itself for a moment.
DROP TRIGGER IF EXISTS {{guard_trigger}} ON {{table}};
DROP FUNCTION IF EXISTS {{guard_function}}();

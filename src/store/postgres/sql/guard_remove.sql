-- Needs the table to itself for a moment.
DROP TRIGGER IF EXISTS {{guard_trigger}} ON {{table}};
DROP TRIGGER IF EXISTS {{guard_trigger}}_start ON {{table}};

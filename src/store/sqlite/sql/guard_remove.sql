-- Takes the guard away.
DROP TRIGGER IF EXISTS {{guard_insert}};
DROP TRIGGER IF EXISTS {{guard_update}};

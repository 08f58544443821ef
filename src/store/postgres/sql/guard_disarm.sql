-- Takes no lock on the table: from here on the guard does nothing, whenever its trigger can be dropped.
CREATE OR REPLACE FUNCTION {{guard_function}}() RETURNS trigger LANGUAGE plpgsql AS
$beatwarden_guard$BEGIN RETURN NEW; END$beatwarden_guard$;

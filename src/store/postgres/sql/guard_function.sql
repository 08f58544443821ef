-- The guard: in the transaction that makes a job running, its first heartbeat is written, as an atomic init would have
-- done. It never makes a writer's statement fail: whatever goes wrong inside, the row goes in as it came.
CREATE OR REPLACE FUNCTION {{guard_function}}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$beatwarden_guard$
{{guard_body}}$beatwarden_guard$;

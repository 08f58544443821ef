-- The guard: in the transaction that makes a job running, its first heartbeat is written, as an atomic init would have
-- done. It never makes a writer's statement fail: whatever goes wrong inside, the row goes in as it came.
CREATE OR REPLACE FUNCTION {{guard_function}}() RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER
    SET search_path = pg_catalog, pg_temp AS
{{tag}}
{{guard_body}}{{tag}};

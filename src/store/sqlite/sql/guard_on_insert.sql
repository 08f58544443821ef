-- The guard, for new rows: in the transaction that makes a job running, its first heartbeat is written, as an atomic init
-- would have done. SQLite has no handler inside a trigger: a column that is dropped makes the writer's statement fail.
CREATE TRIGGER {{guard_insert}} AFTER INSERT ON {{table_unqualified}}
WHEN NEW.{{state}} IN ({{running_literals}}) AND NEW.{{heartbeat_at}} IS NULL
BEGIN
    UPDATE {{table_unqualified}} SET {{heartbeat_at}} = {{started_at}} WHERE {{id}} = NEW.{{id}} AND {{heartbeat_at}} IS NULL;
END;

-- The guard, for rows that become running by a change of their state. Never fires for beats.
CREATE TRIGGER {{guard_update}} AFTER UPDATE OF {{state}} ON {{table_unqualified}}
WHEN NEW.{{state}} IN ({{running_literals}}) AND NEW.{{heartbeat_at}} IS NULL AND (OLD.{{state}} IS NULL OR OLD.{{state}} NOT IN ({{running_literals}}))
BEGIN
    UPDATE {{table_unqualified}} SET {{heartbeat_at}} = {{started_at}} WHERE {{id}} = NEW.{{id}} AND {{heartbeat_at}} IS NULL;
END;

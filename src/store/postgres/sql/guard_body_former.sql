-- Written by `beatwarden guard install`; removed by `beatwarden guard remove`.
-- Before an insert the heartbeat is set in the new row itself. A start by update gets it right after, in the same
-- transaction: a trigger before updates would make the server lock the row for every beat, whatever columns it names.
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.{{state}}::text = ANY ({{guard_running}}) AND NEW.{{heartbeat_at}} IS NULL THEN
            NEW.{{heartbeat_at}} := {{guard_value}};
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.{{state}}::text = ANY ({{guard_running}}) AND NEW.{{heartbeat_at}} IS NULL
       AND NOT coalesce(OLD.{{state}}::text = ANY ({{guard_running}}), false) THEN
        UPDATE {{table}} AS target SET {{heartbeat_at}} = {{guard_value}}
         WHERE target.{{id}} = NEW.{{id}} AND target.{{heartbeat_at}} IS NULL;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN CASE WHEN TG_OP = 'INSERT' THEN NEW END;
END

-- Written by `beatwarden guard install`; removed by `beatwarden guard remove`.
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.{{state}}::text = ANY ({{guard_running}}) THEN
            RETURN NEW;
        END IF;
    END IF;
    IF NEW.{{state}}::text = ANY ({{guard_running}}) AND NEW.{{heartbeat_at}} IS NULL THEN
        NEW.{{heartbeat_at}} := {{guard_value}};
    END IF;
    RETURN NEW;
EXCEPTION WHEN OTHERS THEN
    RETURN NEW;
END

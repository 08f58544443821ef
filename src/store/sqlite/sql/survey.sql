/* beatwarden: survey */
-- Returns the triggers on a table (?1) but for two names (?2, ?3): what else happens when a row changes. Schema only.
SELECT name FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1) AND lower(name) NOT IN (lower(?2), lower(?3))
   AND name NOT IN ('beatwarden_guard_insert', 'beatwarden_guard_update') LIMIT 50

/* beatwarden: guard state */
-- Returns the text of a trigger (?1, its name) on a table (?2), if it is there. Schema only.
SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND lower(name) = lower(?1) AND lower(tbl_name) = lower(?2)

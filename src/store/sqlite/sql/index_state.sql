/* beatwarden: index state */
-- Returns whether a table (?2) has an index of a name (?1). Schema only.
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND lower(name) = lower(?1) AND lower(tbl_name) = lower(?2))

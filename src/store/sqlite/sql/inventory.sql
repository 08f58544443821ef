/* beatwarden: inventory */
-- Returns the names of tables and views that are not SQLite's own, ?1 at most, and what they are. Schema only.
SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid LIMIT ?1

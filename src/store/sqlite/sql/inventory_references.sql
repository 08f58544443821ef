/* beatwarden: inventory references */
-- Returns the foreign keys of one column of a table (?1): its column, the other table, and the column there, NULL for its primary key.
-- Schema only.
SELECT min("from"), min("table"), min("to") FROM pragma_foreign_key_list(?1) GROUP BY id HAVING count(*) = 1

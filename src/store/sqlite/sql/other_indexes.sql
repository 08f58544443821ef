/* beatwarden: other indexes */
-- Returns the columns of each index of a table (?1) that holds all of its rows, in their order, NULL for an expression, and whether
-- it is unique; and the key that the rows themselves are ordered by, where one whole number is it. Schema only.
SELECT list.name, list."unique", info.name
  FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS info
 WHERE NOT list.partial
UNION ALL
SELECT '', 1, name FROM pragma_table_info(?1)
 WHERE pk = 1 AND upper(type) = 'INTEGER' AND (SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1

/* beatwarden: inventory references */
-- Returns the foreign keys of one column, $1 at most: the table's oid and its column, the oid of the table that it refers to and the
-- column there. Catalog only.
SELECT rule.conrelid AS oid, own.attname::pg_catalog.text AS column, rule.confrelid AS other, key.attname::pg_catalog.text AS key
  FROM pg_catalog.pg_constraint AS rule
  JOIN pg_catalog.pg_attribute AS own ON own.attrelid OPERATOR(pg_catalog.=) rule.conrelid AND own.attnum OPERATOR(pg_catalog.=) rule.conkey[1]
  JOIN pg_catalog.pg_attribute AS key ON key.attrelid OPERATOR(pg_catalog.=) rule.confrelid AND key.attnum OPERATOR(pg_catalog.=) rule.confkey[1]
 WHERE rule.contype OPERATOR(pg_catalog.=) 'f' AND pg_catalog.array_length(rule.conkey, 1) OPERATOR(pg_catalog.=) 1
 LIMIT $1

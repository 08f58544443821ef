/* beatwarden: other indexes */
-- Returns, for each valid index of a table ($1, oid) that holds all of its rows, the columns that it orders by ('' for an
-- expression), and with each the size of the table; one row with no columns always. Catalog only.
SELECT coalesce((SELECT pg_catalog.array_agg(coalesce(attribute.attname, '')::pg_catalog.text ORDER BY key.place)
                   FROM pg_catalog.unnest(index.indkey::pg_catalog.int2[]) WITH ORDINALITY AS key(number, place)
                   LEFT JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid OPERATOR(pg_catalog.=) index.indrelid
                    AND attribute.attnum OPERATOR(pg_catalog.=) key.number
                  WHERE key.place OPERATOR(pg_catalog.<=) index.indnkeyatts), '{}'::pg_catalog.text[]) AS columns,
       coalesce(pg_catalog.pg_relation_size($1::pg_catalog.oid), 0) AS bytes
  FROM (SELECT 1) AS always
  LEFT JOIN pg_catalog.pg_index AS index ON index.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND index.indisvalid AND index.indpred IS NULL
 LIMIT 1000

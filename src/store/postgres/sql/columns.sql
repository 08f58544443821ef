/* beatwarden: columns */
-- Returns the columns of a table ($1, quoted): the table's oid, name, type as SQL writes it, the type without its length,
-- its category, whether it is an enum, the longest text it takes (or -1), whether it may be NULL, and whether it alone is
-- unique by a valid constraint. Row locks and "exactly one row" rest on that uniqueness, so partial, deferrable and invalid
-- indexes don't count; `is_unique_at_commit` counts deferrable ones as well, which is enough for reading.
SELECT attribute.attrelid AS oid, attribute.attname::text AS name, format_type(attribute.atttypid, NULL) AS type,
       coalesce(base.typname, type.typname)::text AS base, type.typtype::text AS kind,
       CASE WHEN attribute.atttypid = 'varchar'::regtype AND attribute.atttypmod > 4 THEN attribute.atttypmod - 4 ELSE -1 END AS longest,
       coalesce(uniqueness.is_immediate, false) AS is_unique, uniqueness.is_immediate IS NOT NULL AS is_unique_at_commit,
       NOT attribute.attnotnull AS nullable,
       has_column_privilege(attribute.attrelid, attribute.attnum, 'SELECT') AS readable,
       ARRAY(SELECT label.enumlabel::text FROM pg_enum AS label WHERE label.enumtypid = attribute.atttypid ORDER BY label.enumsortorder) AS labels
  FROM pg_attribute AS attribute
  JOIN pg_type AS type ON type.oid = attribute.atttypid
  LEFT JOIN LATERAL (SELECT bool_or(index.indimmediate) AS is_immediate FROM pg_index AS index
                      WHERE index.indrelid = attribute.attrelid AND index.indisunique AND index.indisvalid
                        AND index.indpred IS NULL AND index.indnkeyatts = 1 AND index.indkey[0] = attribute.attnum) AS uniqueness ON true
  LEFT JOIN pg_type AS base ON type.typtype = 'd' AND base.oid = type.typbasetype
 WHERE attribute.attrelid = to_regclass($1::text) AND attribute.attnum > 0 AND NOT attribute.attisdropped
 ORDER BY attribute.attnum

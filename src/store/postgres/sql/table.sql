/* beatwarden: table */
-- Returns the table that a name ($1, quoted) means, or no row. Catalog only.
SELECT class.oid AS oid, namespace.nspname::text AS schema, class.relname::text AS name, class.relkind::text AS kind
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE class.oid = to_regclass($1::text)

/* beatwarden: table */
-- Returns the table that a name ($1, quoted) means, or no row. `has_heirs`: other tables inherit from it, so that its
-- constraints hold for a part of its rows only. Catalog only.
SELECT class.oid AS oid, namespace.nspname::text AS schema, class.relname::text AS name, class.relkind::text AS kind,
       class.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS heir WHERE heir.inhparent = class.oid) AS has_heirs
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE class.oid = to_regclass($1::text)

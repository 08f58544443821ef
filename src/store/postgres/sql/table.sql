/* beatwarden: table */
-- Returns the table that a name ($1, quoted) means, or no row, and the search path that it was found by: what the owner's
-- triggers find their things by. `has_heirs`: other tables inherit from it, so that its constraints hold for a part of its
-- rows only. Catalog only.
SELECT class.oid AS oid, namespace.nspname::pg_catalog.text AS schema, class.relname::pg_catalog.text AS name,
       class.relkind::pg_catalog.text AS kind, pg_catalog.current_setting('search_path') AS search_path,
       class.relkind OPERATOR(pg_catalog.=) 'r'
           AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS heir WHERE heir.inhparent OPERATOR(pg_catalog.=) class.oid) AS has_heirs
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) class.relnamespace
 WHERE class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)

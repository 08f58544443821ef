/* beatwarden: grants table */
-- Returns the schema of the first of some ($1, in order) that has a table of a name ($2), and what kind of relation it is.
-- Catalog only.
SELECT namespace.nspname::pg_catalog.text AS schema, class.relkind::pg_catalog.text AS kind
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) class.relnamespace
 WHERE class.relname OPERATOR(pg_catalog.=) $2::pg_catalog.text AND namespace.nspname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])
   AND class.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
 ORDER BY pg_catalog.array_position($1::pg_catalog.text[], namespace.nspname::pg_catalog.text)
 LIMIT 1

/* beatwarden: tables */
-- Returns the names of tables and views, for a hint when the configured one is missing, and of each the schema, quoted, if
-- it is one of the search path in which this role may use nothing.
SELECT class.relname::pg_catalog.text AS plain,
       CASE WHEN pg_catalog.pg_table_is_visible(class.oid) THEN class.relname::pg_catalog.text
            ELSE pg_catalog.concat(namespace.nspname, '.', class.relname) END AS name,
       CASE WHEN NOT pg_catalog.has_schema_privilege(namespace.oid, 'USAGE')
             AND pg_catalog.quote_ident(namespace.nspname) OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(pg_catalog.replace(pg_catalog.replace(
                 pg_catalog.current_setting('search_path'), '"$user"', pg_catalog.quote_ident(current_user)), ' ', ''), ','))
            THEN pg_catalog.quote_ident(namespace.nspname) END AS locked
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) class.relnamespace
 WHERE class.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
   AND namespace.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema}'::pg_catalog.name[])
   AND namespace.nspname OPERATOR(pg_catalog.!~~) 'pg\_toast%'
 ORDER BY 2
 LIMIT 500

/* beatwarden: tables */
-- Returns the names of tables and views, for a hint when the configured one is missing, and of each the schema, quoted, if
-- it is one of the search path in which this role may use nothing.
SELECT class.relname::text AS plain,
       CASE WHEN pg_table_is_visible(class.oid) THEN class.relname::text
            ELSE namespace.nspname::text || '.' || class.relname::text END AS name,
       CASE WHEN NOT has_schema_privilege(namespace.oid, 'USAGE')
             AND quote_ident(namespace.nspname) = ANY (string_to_array(replace(replace(
                 current_setting('search_path'), '"$user"', quote_ident(current_user)), ' ', ''), ','))
            THEN quote_ident(namespace.nspname) END AS locked
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE class.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND namespace.nspname NOT IN ('pg_catalog', 'information_schema') AND namespace.nspname NOT LIKE 'pg\_toast%'
 ORDER BY 2
 LIMIT 500

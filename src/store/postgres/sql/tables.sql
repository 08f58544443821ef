/* beatwarden: tables */
-- Returns the names of tables and views that this role can see, for a hint when the configured one is missing.
SELECT CASE WHEN pg_table_is_visible(class.oid) THEN class.relname::text
            ELSE namespace.nspname::text || '.' || class.relname::text END AS name
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE class.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND namespace.nspname NOT IN ('pg_catalog', 'information_schema') AND namespace.nspname NOT LIKE 'pg\_toast%'
 ORDER BY 1
 LIMIT 500

/* beatwarden: guard holder */
-- Returns who owns the function of a name ($1, with its schema and parentheses), where neither this role nor the owner of
-- the table ($2, oid) does. Catalog only. For the words: the installation itself looks again.
SELECT pg_catalog.pg_get_userbyid(proc.proowner)::pg_catalog.text AS holder
  FROM pg_catalog.pg_proc AS proc, pg_catalog.pg_class AS class
 WHERE proc.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure($1::pg_catalog.text) AND class.oid OPERATOR(pg_catalog.=) $2::pg_catalog.oid
   AND proc.proowner OPERATOR(pg_catalog.<>) class.relowner
   AND pg_catalog.pg_get_userbyid(proc.proowner) OPERATOR(pg_catalog.<>) current_user

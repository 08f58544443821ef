/* beatwarden: guard holder */
-- Returns who owns the function of a name ($1, with its schema and parentheses), where neither this role nor the owner of
-- the table ($2, oid) does. Catalog only. For the words: the installation itself looks again.
SELECT pg_get_userbyid(proc.proowner)::text AS holder
  FROM pg_catalog.pg_proc AS proc, pg_catalog.pg_class AS class
 WHERE proc.oid = to_regprocedure($1::text) AND class.oid = $2::oid
   AND proc.proowner <> class.relowner AND pg_get_userbyid(proc.proowner) <> current_user

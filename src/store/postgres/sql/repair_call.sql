/* beatwarden: repair call */
-- The second step of a repair by a function: calls it, for the row that repair_lock.sql has locked and that still is as observed,
-- and marks the transaction. An error of the function ends the transaction.
-- Safe against races: the row is locked. By the key's unique index. The parameters are those of repair.sql, and $19 the error text.
-- The rows are counted, since what the function returns may be NULL; the other count is what calls it, once for each of them.
SELECT pg_catalog.set_config('beatwarden.called', CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 AND pg_catalog.count({{call}}) OPERATOR(pg_catalog.>=) 0
                                                       THEN $12::pg_catalog.text ELSE '' END, true) AS called
  FROM {{table}} AS target
 WHERE {{held}}
   AND target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
   AND {{as_observed}}

/* beatwarden: gate probe */
-- Returns one row: the server's version, and whether an advisory lock of the transaction ($1, $2) that was taken can be seen to
-- be held; NULL where another session has it. A lock that answers "taken" and is held by no one keeps no one out. The key is no
-- table's.
WITH gate AS MATERIALIZED (SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2) AS won)
SELECT pg_catalog.version() AS version,
       CASE WHEN gate.won THEN EXISTS (
            SELECT FROM pg_catalog.pg_locks AS held
             WHERE gate.won AND held.locktype OPERATOR(pg_catalog.=) 'advisory' AND held.granted
               AND held.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
               AND held.classid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND held.objid OPERATOR(pg_catalog.=) $2::pg_catalog.oid) END AS held
  FROM gate

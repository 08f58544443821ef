/* beatwarden: long transactions */
-- Returns the transactions of other sessions that are older than some seconds ($1): building an index waits for all of
-- them. What other roles do is shown as far as this role may see it.
SELECT pid, extract(epoch FROM pg_catalog.now() OPERATOR(pg_catalog.-) xact_start)::double precision AS age,
       coalesce(usename::pg_catalog.text, '?') AS role, coalesce(application_name, '') AS application
  FROM pg_catalog.pg_stat_activity
 WHERE pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
   AND xact_start OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $1))
 ORDER BY xact_start
 LIMIT 10

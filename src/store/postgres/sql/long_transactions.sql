/* beatwarden: long transactions */
-- Returns the transactions of other sessions that are older than some seconds ($1): building an index waits for all of
-- them. What other roles do is shown as far as this role may see it.
SELECT pid, extract(epoch FROM now() - xact_start)::float8 AS age, coalesce(usename::text, '?') AS role,
       coalesce(application_name, '') AS application
  FROM pg_stat_activity
 WHERE pid <> pg_backend_pid() AND datname = current_database() AND xact_start < now() - make_interval(secs => $1)
 ORDER BY xact_start
 LIMIT 10

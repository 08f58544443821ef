/* beatwarden: observe history */
-- Returns the newest rows by key, ?1 at most: what a start needs to know of the time before it.
-- By the key, backwards.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 ORDER BY raw_id DESC
 LIMIT ?1

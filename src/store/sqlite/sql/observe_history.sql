/* beatwarden: observe history */
-- Returns the newest rows by key, ?1 at most: the inits of the success ratio's window after a start, and the newest key.
-- By the key, backwards.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 ORDER BY raw_id DESC
 LIMIT ?1

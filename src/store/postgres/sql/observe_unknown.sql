/* beatwarden: observe unknown states */
-- Returns rows whose state is in no list ($2), $3 at most. No index can help, so it is asked only in a full look, in a
-- transaction of its own, with a short timeout.
SELECT id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE state IS NULL OR state <> ALL ($2::text[])
 LIMIT $3

/* beatwarden: observe newcomers */
-- Returns the rows from the newest key seen (?1) on, oldest first, ?2 at most: jobs that began since the last pass, those
-- that have ended already included. That one itself shows that the table was not emptied meanwhile. By the key; what the limit cuts comes with the next pass.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_id >= ?1
 ORDER BY raw_id
 LIMIT ?2

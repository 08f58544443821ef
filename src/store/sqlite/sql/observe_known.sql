/* beatwarden: observe known */
-- Returns the rows with the given keys (?1, a JSON array), whatever their state: what became of jobs that were running.
-- By the key. Read after the running rows, so a job that is in neither answer is gone.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_id IN (SELECT value FROM json_each(?1))

/* beatwarden: undo newer */
-- Returns the jobs of a name (?1, of a long one its beginning) in a running state (?2, a JSON array), with their starts;
-- 100 at most. Which of them are newer is decided outside, where times can be read. By the running rows.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE job.raw_state IN (SELECT value FROM json_each(?2))
   AND (job.name = ?1 OR length(?1) >= {{longest_text}} AND substr(job.name, 1, {{longest_text}}) = ?1)
 LIMIT 100

/* beatwarden: observe running */
-- Returns the time, and with it the rows in a running state (?1, a JSON array), ?2 at most; without any, one row of NULLs
-- beside the time. Wants an index on the state; without one it scans the table.
-- One statement in autocommit: a snapshot of its own, held no longer than the reading takes.
SELECT clock.now, job.id, job.name, job.state, job.started_at, job.heartbeat_at, job.ended_at
  FROM (SELECT CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER) AS now) AS clock
  LEFT JOIN ({{job}}) AS job ON job.raw_state IN (SELECT value FROM json_each(?1))
 LIMIT ?2

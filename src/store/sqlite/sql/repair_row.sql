/* beatwarden: repair row */
-- Returns the row to be repaired (?1, its key) as it is under the write lock, its raw values beside the canonical ones.
-- No one can change it between this statement and the end of the transaction.
SELECT NULL, job.id, job.name, job.state, job.started_at, job.heartbeat_at, job.ended_at, {{error}} AS error, job.raw_state
  FROM ({{job}}) AS job, {{table}} AS target
 WHERE job.raw_id = ?1 AND target.{{id}} = ?1

/* beatwarden: repair row */
-- Returns the row to be repaired (?1, its key) as it is under the write lock, its raw values beside the canonical ones.
-- Nobody can change it between this statement and the end of the transaction.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at, {{error}} AS error, raw_state
  FROM ({{job}}) AS job, {{table}} AS target
 WHERE job.raw_id = ?1 AND target.{{id}} = ?1

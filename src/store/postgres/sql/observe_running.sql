/* beatwarden: observe running */
-- Returns the rows in a running state ($2), $3 at most. Wants an index on the state; without one it scans the table.
-- One statement, one snapshot: no row can appear twice or half changed.
SELECT id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_state = ANY ($2::text[]{{state_array}})
 LIMIT $3

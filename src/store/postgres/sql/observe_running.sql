/* beatwarden: observe running */
-- Returns the rows in a running state ($2, or spelled out), $3 at most. Wants an index on the state; without one it scans the table.
-- One statement, one snapshot: no row can appear twice or half changed.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{job}}) AS job
 WHERE raw_state OPERATOR(pg_catalog.=) ANY ({{running_states}})
 LIMIT $3

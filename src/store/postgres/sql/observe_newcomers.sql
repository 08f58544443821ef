/* beatwarden: observe newcomers */
-- Returns the rows from the newest key seen ($2) on, oldest first, $3 at most: jobs that began since the last pass, those
-- that have ended already included. That one itself shows that the table was not emptied meanwhile. By the key's unique index; what the limit cuts comes with the next pass.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{job}}) AS job
 WHERE raw_id OPERATOR(pg_catalog.>=) $2::pg_catalog.text::{{id_type}}
 ORDER BY raw_id
 LIMIT $3

/* beatwarden: observe newcomers */
-- Returns the rows after the newest key seen ($2), oldest first, $3 at most: jobs that began since the last pass, those
-- that have ended already included. By the key's unique index; what the limit cuts comes with the next pass.
SELECT id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_id > $2::text::{{id_type}}
 ORDER BY raw_id
 LIMIT $3

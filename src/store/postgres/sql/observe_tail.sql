/* beatwarden: observe tail */
-- Returns, oldest first and $6 at most, the rows from a key ($2) on: up to the newest key seen ($3) those in a running state
-- ($4) and those with some keys ($5); from that one on all of them, those that have ended already included. That one itself
-- shows that the table was not emptied meanwhile; what the limit cuts comes with the next pass. By the key's unique index:
-- rows that lie close together cost less as one range than looked up one by one, and one statement less than two.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{job}}) AS job
 WHERE raw_id OPERATOR(pg_catalog.>=) $2::pg_catalog.text::{{id_type}}
   AND (raw_id OPERATOR(pg_catalog.>=) $3::pg_catalog.text::{{id_type}} OR raw_state OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.text[]{{state_array}}) OR raw_id {{id_equals}} ANY ($5::pg_catalog.text[]::{{id_type}}[]))
 ORDER BY raw_id
 LIMIT $6

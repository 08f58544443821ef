/* beatwarden: observe span */
-- Returns, of the rows from one key ($2) up to another ($3), that one left out, those in a running state ($4) and those with
-- some keys ($5); $6 at most. By the key's unique index: rows that lie close together cost less as one range than looked up
-- one by one.
SELECT id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_id >= $2::text::{{id_type}} AND raw_id < $3::text::{{id_type}}
   AND (raw_state = ANY ($4::text[]{{state_array}}) OR raw_id = ANY ($5::text[]::{{id_type}}[]))
 LIMIT $6

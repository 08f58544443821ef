/* beatwarden: observe known */
-- Returns the rows with the given keys ($2), whatever their state: what became of jobs that were running.
-- By the key's unique index. In the snapshot of the running rows, so a job is in one answer or the other.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{job}}) AS job
 WHERE raw_id {{id_equals}} ANY ($2::pg_catalog.text[]::{{id_type}}[])

/* beatwarden: observe unknown states */
-- Returns rows whose state is in no list ($2), $3 at most. No index can help, so it is asked only in a full look, in a
-- transaction of its own, with a short timeout.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{job}}) AS job
 WHERE {{null_unknown}} OR state OPERATOR(pg_catalog.<>) ALL ($2::pg_catalog.text[])
 LIMIT $3

/* beatwarden: good runs */
-- Returns the newest rows in a success state ($3), $2 at most, with the heartbeats that they ended with. Wants an index that
-- begins with the key where that is a number, else with the start. Asked once at the start of a watch that fails jobs, and by a
-- command, in a transaction of its own, with a short timeout.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at FROM ({{good_by_key_job}}) AS job

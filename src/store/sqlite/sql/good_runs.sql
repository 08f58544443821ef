/* beatwarden: good runs */
-- Returns the newest rows in a success state (?1, a JSON array), ?2 at most, with the heartbeats that they ended with. Wants an
-- index that begins with the key where that is a number, else with the start. Asked once at the start of a watch that fails
-- jobs, and by a command, and interrupted when it takes long.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at FROM ({{good_by_key_job}}) AS job

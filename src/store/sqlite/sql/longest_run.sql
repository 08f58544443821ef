/* beatwarden: longest run */
-- Returns the newest rows in a success state (?1, a JSON array), ?2 at most: a job is failed for its age only where such a run
-- would have had twice the time. Asked only in a full look, and interrupted when it takes long.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at FROM ({{newest_good_job}}) AS job

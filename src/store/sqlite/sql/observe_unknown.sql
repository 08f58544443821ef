/* beatwarden: observe unknown states */
-- Returns rows whose state is in no list (?1, a JSON array), ?2 at most. No index can help, so it is asked only in a full
-- look, and interrupted early.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE {{null_unknown}} OR raw_state NOT IN (SELECT value FROM json_each(?1))
 LIMIT ?2

/* beatwarden: observe span */
-- Returns, of the rows from one key (?1) to another (?2), those in a running state (?3, a JSON array). By the key: rows that
-- lie close together cost less as one range than looked up one by one.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_id BETWEEN ?1 AND ?2 AND +raw_state IN (SELECT value FROM json_each(?3))

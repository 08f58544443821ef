/* beatwarden: observe page */
-- Returns, of the ?2 rows after a key (?1), those in a running state (?3, a JSON array) or in one that no list names (?4),
-- ?5 at most. A piece of a full look beside the key tail: it finds what returned to a running state. By the key; the inner
-- limit bounds what is read, whatever the states are.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM (SELECT * FROM ({{job}}) AS job WHERE raw_id > ?1 ORDER BY raw_id LIMIT ?2) AS page
 WHERE raw_state IN (SELECT value FROM json_each(?3)) OR raw_state IS NULL
    OR raw_state NOT IN (SELECT value FROM json_each(?4))
 LIMIT ?5

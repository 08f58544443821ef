/* beatwarden: observe page */
-- Returns, of the rows from one key (?1) to another (?2), those in a running state (?3, a JSON array) or in one that no list
-- names (?4). A piece of a full look: it finds what the tail can't see. By the key; the range bounds what is read.
SELECT NULL, id, name, state, started_at, heartbeat_at, ended_at
  FROM ({{job}}) AS job
 WHERE raw_id BETWEEN ?1 AND ?2
   AND (+raw_state IN (SELECT value FROM json_each(?3)) OR {{null_unknown}}
        OR typeof(raw_state) = 'blob' OR CAST(raw_state AS TEXT) NOT IN (SELECT value FROM json_each(?4)))

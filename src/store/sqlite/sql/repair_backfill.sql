/* beatwarden: repair backfill */
-- Sets the heartbeat to the start, nothing else. ?1 the key, ?2 the state, ?3 the start, raw as read under the write lock.
-- Safe against races: the transaction holds the write lock since before the row was read; the guards are repeated all the
-- same, so that the statement is right on its own. The caller demands that exactly one row was changed.
UPDATE {{table}}
   SET {{heartbeat_at}} = {{started_at}}
 WHERE {{id}} = ?1 AND {{state}} IS ?2 AND {{started_at}} IS ?3 AND {{heartbeat_at}} IS NULL

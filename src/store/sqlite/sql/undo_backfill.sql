/* beatwarden: undo backfill */
-- Takes a backfill back. ?1 the key, ?2 the start, ?3 the heartbeat, raw as read under the write lock. The caller demands
-- that exactly one row was changed.
UPDATE {{table}} AS target
   SET {{heartbeat_at}} = NULL
 WHERE {{id}} = ?1 AND {{started_at_value}} IS ?2 AND {{heartbeat_at}} IS ?3

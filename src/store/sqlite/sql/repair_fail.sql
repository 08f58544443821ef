/* beatwarden: repair fail */
-- Ends the job as the writer would. ?1 the key, ?2 the state, ?3 the start, ?4 the heartbeat, raw as read under the write
-- lock; ?5 the state to set, ?6 the end, ?7 the error column's new value, or NULL to leave it alone; from ?8 on the further
-- columns.
-- Safe against races: as repair_backfill.sql.
UPDATE {{table}} AS target
   SET {{fail_set}}
 WHERE {{id}} = ?1 AND {{state}} IS ?2 AND {{started_at_value}} IS ?3 AND {{heartbeat_at_value}} IS ?4

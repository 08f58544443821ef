/* beatwarden: undo fail */
-- Takes a fail back. ?1 the key, ?2 the start, ?3 the state, raw as read under the write lock; ?4 the state to put back,
-- ?5 the end, ?6 the error column's new value, ?7 whether it is to be set, from ?8 on the further columns. The caller demands that exactly one row was
-- changed.
UPDATE {{table}} AS target
   SET {{undo_set}}
 WHERE {{id}} = ?1 AND {{started_at_value}} IS ?2 AND {{state}} IS ?3

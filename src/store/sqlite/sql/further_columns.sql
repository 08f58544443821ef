/* beatwarden: further columns */
-- Returns the further columns that a fail sets, of one row (?1, its key), raw. Asked before and after the change, under the write
-- lock: what is stored may differ from what was bound, by the column's affinity.
SELECT {{further}} FROM {{table}} WHERE {{id}} = ?1

/* beatwarden: ledger note */
-- Writes what turned out (?3) about a repair (?2) of this table (?1, its spellings) and when (?4), once: a second writer changes
-- nothing. Not where the repair was taken back, since the job that was given back is meant to run. By the primary key
-- and the index on (table_name, job_id).
UPDATE {{ledger}} AS entry
   SET outcome = ?3, outcome_at = ?4
 WHERE entry.table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1)) AND entry.repair_id = ?2 AND entry.outcome IS NULL
   AND NOT EXISTS (SELECT 1 FROM {{ledger}} AS undo
                    WHERE undo.table_name = entry.table_name COLLATE NOCASE AND undo.job_id = entry.job_id AND undo.undo_of = entry.repair_id)

/* beatwarden: ledger note */
-- Writes what turned out (?3) about a repair (?2) of this watch (?1) and when (?4), once: whoever comes second changes
-- nothing. Not where the repair was taken back, since the job that was given back is meant to run. By the primary key
-- and the index on (watch, job_id).
UPDATE {{ledger}} AS entry
   SET outcome = ?3, outcome_at = ?4
 WHERE entry.watch = ?1 AND entry.repair_id = ?2 AND entry.outcome IS NULL
   AND NOT EXISTS (SELECT 1 FROM {{ledger}} AS undo
                    WHERE undo.watch = entry.watch AND undo.job_id = entry.job_id AND undo.undo_of = entry.repair_id)

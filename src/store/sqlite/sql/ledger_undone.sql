/* beatwarden: ledger undone */
-- Returns when a repair (?3) of a job (?2) of this watch (?1) was taken back, if it was. By the index on (watch, job_id).
SELECT repaired_at FROM {{ledger}} WHERE watch = ?1 AND job_id = ?2 AND undo_of = ?3 LIMIT 1

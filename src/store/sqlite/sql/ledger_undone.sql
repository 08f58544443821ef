/* beatwarden: ledger undone */
-- Returns when a repair (?3) of a job (?2) of a table (?1) was taken back, if it was. By the index on (table_name, job_id).
SELECT repaired_at FROM {{ledger}} WHERE table_name = ?1 COLLATE NOCASE AND job_id = ?2 AND undo_of = ?3 LIMIT 1

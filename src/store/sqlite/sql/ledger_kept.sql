/* beatwarden: ledger kept */
-- Returns whether an entry is in the ledger as it was inserted: ?1 its id, ?2 the job, ?3 the action, ?4 the process,
-- ?5 and ?6 the images. Asked in the transaction of the insert: a trigger can drop or change a row without an error.
SELECT EXISTS (SELECT 1 FROM {{ledger}}
                WHERE repair_id = ?1 AND job_id = ?2 AND action = ?3 AND instance = ?4 AND before = ?5 AND after = ?6)

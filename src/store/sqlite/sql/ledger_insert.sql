/* beatwarden: ledger insert */
-- Adds one entry, in the transaction of its update. The primary key refuses a second one for the same incident.
INSERT INTO {{ledger}} (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
                        before, after, undo_of, version)
VALUES (?1, ?2, ?3, ?4, ?5, {{reason}}, ?6, ?7, ?8, ?9, ?10, ?11, ?12, {{layout}})

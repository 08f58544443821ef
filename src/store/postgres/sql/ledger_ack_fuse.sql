/* beatwarden: ledger acknowledge fuse */
-- Adds an acknowledgement of the fuse ($1) of a watch ($2) on a table ($3), by a process ($4). It belongs to no job.
INSERT INTO {{ledger}} (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after, version)
VALUES ($1, $2, $3, '', {{reason}}, 'ack_fuse', $4, pg_catalog.now(), '{}'::pg_catalog.jsonb, '{}'::pg_catalog.jsonb, {{layout}})
RETURNING repair_id

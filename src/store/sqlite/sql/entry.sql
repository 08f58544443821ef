-- The columns of a ledger entry as it is read; what is too long is left out by the reader.
repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before, after, outcome, outcome_at, acknowledged_at, undo_of, version

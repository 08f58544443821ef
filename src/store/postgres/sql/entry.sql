-- The columns of a ledger entry as it is read: whoever may write the ledger could make any of them large, and a pass reads
-- thousands. Their real size is a few hundred bytes; what is longer is cut, an image that is longer counts as empty. Its stored
-- size is asked first, since unfolding megabytes takes as long as sending them.
repair_id, left(watch, 250) AS watch, left(table_name, 250) AS table_name, left(job_id, {{longest_text}}) AS job_id,
       left(job_name, {{longest_text}}) AS job_name, left(reason, 250) AS reason, left(action, 250) AS action,
       left(instance, 250) AS instance, started_at, repaired_at,
       CASE WHEN pg_column_size(before) > {{longest_image}} THEN '{}'
            WHEN octet_length(before::text) > {{longest_image}} THEN '{}' ELSE before::text END AS before,
       CASE WHEN pg_column_size(after) > {{longest_image}} THEN '{}'
            WHEN octet_length(after::text) > {{longest_image}} THEN '{}' ELSE after::text END AS after,
       left(outcome, 250) AS outcome, outcome_at, acknowledged_at, undo_of, version

-- The columns of a ledger entry as it is read: a role that may write the ledger could make any of them large, and a pass reads
-- thousands. Their real size is a few hundred bytes; what is longer is cut, an image that is longer counts as empty. Its stored
-- size is asked first, since unfolding megabytes takes as long as sending them.
repair_id, pg_catalog.left(watch, 250) AS watch, pg_catalog.left(table_name, 250) AS table_name, pg_catalog.left(job_id, {{longest_text}}) AS job_id,
       pg_catalog.left(job_name, {{longest_text}}) AS job_name, pg_catalog.left(reason, 250) AS reason, pg_catalog.left(action, 250) AS action,
       pg_catalog.left(instance, 250) AS instance, started_at, repaired_at,
       CASE WHEN pg_catalog.pg_column_size(before) OPERATOR(pg_catalog.>) {{longest_image}} THEN '{}'
            WHEN pg_catalog.octet_length(before::pg_catalog.text) OPERATOR(pg_catalog.>) {{longest_image}} THEN '{}' ELSE before::pg_catalog.text END AS before,
       CASE WHEN pg_catalog.pg_column_size(after) OPERATOR(pg_catalog.>) {{longest_image}} THEN '{}'
            WHEN pg_catalog.octet_length(after::pg_catalog.text) OPERATOR(pg_catalog.>) {{longest_image}} THEN '{}' ELSE after::pg_catalog.text END AS after,
       pg_catalog.left(outcome, 250) AS outcome, outcome_at, acknowledged_at, undo_of, version

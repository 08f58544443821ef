/* beatwarden: undo backfill */
-- Takes a backfill back: the heartbeat becomes NULL again. Returns one row, always: whether the gate was won, and the
-- undo's entry if it was made. By the key's unique index.
-- Safe against races: the update itself repeats every guard, on the newest version of the row; the entry comes from
-- what it returned; the ledger's key refuses a second undo. now() is one instant.
-- $1 zone, $2 key, $3 start, $4 the after-image, $5 the repair, $6 the undo, $7 watch, $8 table, $9 instance,
-- $10 and $11 the gate, $12 the job's name
WITH gate AS MATERIALIZED (
        SELECT CASE WHEN {{in_recovery}} THEN false ELSE pg_catalog.pg_try_advisory_xact_lock($10, $11) END AS won
     ),
     changed AS (
        UPDATE {{table}} AS target
           SET {{heartbeat_at}} = NULL
         WHERE (SELECT won FROM gate)
           AND target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
           AND ARRAY[{{started_at_read}}] OPERATOR(pg_catalog.=) ARRAY[$3::pg_catalog.timestamptz]
           AND target.{{heartbeat_at}} OPERATOR(pg_catalog.=) ($4::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.->>) {{heartbeat_at_literal}})::{{heartbeat_at_type}}
        RETURNING target.{{id}}::pg_catalog.text AS job_id
     ),
     entry AS (
        INSERT INTO {{ledger}} (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, undo_of, version)
        SELECT $6, $7, $8, changed.job_id, $12, {{reason}}, 'undo', $9, $3, pg_catalog.now(), $4::pg_catalog.text::pg_catalog.jsonb,
               pg_catalog.jsonb_build_object({{heartbeat_at_literal}}, NULL), $5, {{layout}}
          FROM changed
        RETURNING repair_id
     )
SELECT (SELECT won FROM gate) AS won, (SELECT repair_id FROM entry) AS repair_id, false AS error_removed,
       {{entry_made}}

/* beatwarden: undo fail */
-- Takes a fail back: state and end as they were before, the error text taken out byte for byte. Returns one row, always:
-- whether the gate was won, the undo's entry if it was made, whether the error text was there, and which further columns were
-- changed since; the entry's images have text and columns only as far as they were put back. By the key's unique index, and by
-- the running rows for the question of a newer job.
-- Safe against races: the update itself repeats every guard, on the newest version of the row; the entry comes from
-- what it returned; the ledger's key refuses a second undo. now() is one instant.
-- Compares only state and end: a living job beats on, and may have written to its other columns; of these each is put back only
-- where it is as the repair left it.
-- $1 zone, $2 key, $3 start, $4 the after-image, $5 the repair, $6 the undo, $7 watch, $8 table, $9 instance,
-- $10 and $11 the gate, $12 the job's name, $13 the before-image, $14 the running states, $15 the error text's pair,
-- $16 its text, $17 its key
WITH gate AS MATERIALIZED (
        SELECT CASE WHEN {{in_recovery}} THEN false ELSE pg_catalog.pg_try_advisory_xact_lock($10, $11) END AS won
     ),
     seen AS MATERIALIZED (
        SELECT {{undo_error_there}} AS error_there, {{undo_left_alone}} AS left_alone FROM {{table}} AS target WHERE target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
     ),
     changed AS (
        UPDATE {{table}} AS target
           SET {{undo_set}}
         WHERE (SELECT won FROM gate)
           AND target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
           AND ARRAY[{{started_at_read}}] OPERATOR(pg_catalog.=) ARRAY[$3::pg_catalog.timestamptz]
           AND target.{{state}}::pg_catalog.text OPERATOR(pg_catalog.=) ($4::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.->>) {{state_literal}})
           AND {{undo_end_unchanged}}
           AND NOT EXISTS (SELECT FROM ({{job}}) AS job
                            WHERE job.raw_state OPERATOR(pg_catalog.=) ANY ($14::pg_catalog.text[]{{state_array}}) AND job.name OPERATOR(pg_catalog.=) $12::pg_catalog.text
                              AND job.id OPERATOR(pg_catalog.<>) $2::pg_catalog.text AND job.started_at OPERATOR(pg_catalog.>) $3::pg_catalog.timestamptz)
        RETURNING target.{{id}}::pg_catalog.text AS job_id, $15::pg_catalog.text AS pair, $16::pg_catalog.text AS text, $17::pg_catalog.text AS key
     ),
     entry AS (
        INSERT INTO {{ledger}} (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, undo_of, version)
        SELECT $6, $7, $8, changed.job_id, $12, {{reason}}, 'undo', $9, $3, pg_catalog.now(),
               CASE WHEN (SELECT error_there FROM seen) THEN $4::pg_catalog.text::pg_catalog.jsonb
                    ELSE $4::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.-) 'error_text'::pg_catalog.text END
                    OPERATOR(pg_catalog.-) (SELECT left_alone FROM seen),
               ($13::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.-) 'error_was'::pg_catalog.text)
                    OPERATOR(pg_catalog.-) (SELECT left_alone FROM seen), $5, {{layout}}
          FROM changed
        RETURNING repair_id
     )
SELECT (SELECT won FROM gate) AS won, (SELECT repair_id FROM entry) AS repair_id,
       coalesce((SELECT error_there FROM seen), false) AS error_removed, (SELECT left_alone FROM seen) AS left_alone,
       {{entry_made}}

-- One repair: {{set}} is what it changes, {{before}} and {{after}} its images of the row.
-- Returns one row, always: whether the gate was won, whether this is another server than the one that was observed, how many
-- rows were locked, and the ledger's id if it was repaired.
-- By the key's unique index.
--
-- Safe against races, read committed:
-- * here and gate: one repairer for each table, and only on the server that was observed; which one it is, is asked once, since the
--   server reads a file for it;
-- * locked: the row only if it still is as observed in every column, or not at all; a row that another session holds is
--   skipped, never waited for; a version younger than our snapshot is checked again before it is locked;
-- * where a time stands in another table, repair_lock.sql has locked the row in a step before: what was written there until then is
--   seen here, in a snapshot of its own, and what is written later waits for our commit, if its row refers to the job's;
-- * changed: the same guards once more on the target, because guards in a sub-select alone let an update through that
--   was decided on an older version of the row, and with them that the further columns to be set are as the image before has them;
-- * entry: from what the update returned, so that there is an entry exactly if there was an update; where a trigger or a
--   rule keeps it out of the ledger, the statement fails, and the update with it (ledger_made.sql);
-- * now() stands for one instant in all of them; clock_timestamp() would not.
-- $1 zone, $2 key, $3 name, $4 state, $5 start, $6 heartbeat, $7 end, $8 server, $9 seconds of the deadline,
-- $10 and $11 the gate, $12 repair, $13 watch, $14 table, $15 instance, $16 whether the deadline is waived
WITH here AS MATERIALIZED (
        SELECT {{identity}} OPERATOR(pg_catalog.=) $8::pg_catalog.text AS is_observed
     ),
     gate AS MATERIALIZED (
        SELECT CASE WHEN {{in_recovery}} OR NOT is_observed THEN false ELSE pg_catalog.pg_try_advisory_xact_lock($10, $11) END AS won
          FROM here
     ),
     locked AS MATERIALIZED (
        SELECT target.{{id}} AS raw_id, {{before}} AS before
          FROM {{table}} AS target
         WHERE (SELECT won FROM gate)
           AND target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
           AND {{held_before}}
           AND {{as_observed}}
           FOR NO KEY UPDATE OF target SKIP LOCKED
     ),
     changed AS (
        UPDATE {{table}} AS target
           SET {{set}}
          FROM locked
         WHERE target.{{id}} {{id_equals}} locked.raw_id AND (SELECT pg_catalog.count(*) FROM locked) OPERATOR(pg_catalog.=) 1
           AND target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
           AND {{as_observed}}
           AND {{set_unchanged}}
        RETURNING target.{{id}}::pg_catalog.text AS job_id, locked.before AS before, {{after}} AS after
     ),
     entry AS (
        INSERT INTO {{ledger}} (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, version)
        SELECT $12, $13, $14, changed.job_id, $3, {{reason}}, {{action}}, $15, $5, pg_catalog.now(), changed.before, changed.after, {{layout}}
          FROM changed
        RETURNING repair_id
     )
SELECT (SELECT won FROM gate) AS won, (SELECT NOT is_observed FROM here) AS is_other_server,
       (SELECT pg_catalog.count(*) FROM locked) AS locked, (SELECT repair_id FROM entry) AS repair_id,
       {{entry_made}}

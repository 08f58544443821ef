/* beatwarden: repair called */
-- The last step of a repair by a function: reads what the function left of the row, and enters it in the ledger. Fails where the
-- row still is in a running state ($21, all of them), so that nothing is committed; a row that is gone has left them.
-- Returns what repair.sql returns; the gate is held since repair_lock.sql. By the key's unique index.
-- The parameters are those of repair.sql, and $21.
WITH here AS MATERIALIZED (
        SELECT {{identity}} OPERATOR(pg_catalog.=) $8::pg_catalog.text AS is_observed
     ),
     gate AS MATERIALIZED (
        SELECT CASE WHEN {{in_recovery}} OR NOT is_observed THEN false ELSE pg_catalog.pg_try_advisory_xact_lock($10, $11) END AS won
          FROM here
     ),
     call AS MATERIALIZED (
        SELECT coalesce(pg_catalog.current_setting('beatwarden.called', true), '') OPERATOR(pg_catalog.=) $12::pg_catalog.text AS made
     ),
     found AS MATERIALIZED (
        SELECT target.{{state}}::pg_catalog.text AS state, {{called_after}} AS after
          FROM {{table}} AS target
         WHERE target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
     ),
     ended AS MATERIALIZED (
        SELECT coalesce((SELECT after FROM found), {{called_gone}}) AS after
          FROM call
         WHERE made AND NOT EXISTS (SELECT FROM found WHERE state OPERATOR(pg_catalog.=) ANY ($21::pg_catalog.text[]))
     ),
     entry AS (
        INSERT INTO {{ledger}} (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, version)
        SELECT $12, $13, $14, $2::pg_catalog.text, $3, {{reason}}, 'fail', $15, $5, pg_catalog.now(), {{called_before}}, ended.after, {{layout}}
          FROM ended
        RETURNING repair_id
     )
SELECT (SELECT won FROM gate) AS won, (SELECT NOT is_observed FROM here) AS is_other_server,
       (SELECT repair_id FROM entry) AS repair_id,
       (SELECT CASE WHEN (SELECT pg_catalog.count(*) FROM ended) OPERATOR(pg_catalog.=) 0 THEN {{still_running}}
                    WHEN (SELECT pg_catalog.count(*) FROM entry) OPERATOR(pg_catalog.=) 1
                    THEN pg_catalog.set_config('beatwarden.made', 'true', true) ELSE {{no_entry}} END FROM call WHERE made)::boolean AS made

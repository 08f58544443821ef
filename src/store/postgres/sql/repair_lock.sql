/* beatwarden: repair lock */
-- The first step of a repair of two steps: locks the row as it was observed, and marks the transaction, so that the next step, which
-- sees what was committed until then, finds whether it was locked. Returns whether it was.
-- Safe against races: a lock that also conflicts with the KEY SHARE of a foreign key, so a row to which another session is about to
-- refer is skipped; who refers to it later waits for our commit. By the key's unique index.
-- The parameters are those of repair.sql.
WITH gate AS MATERIALIZED (
        SELECT CASE WHEN {{in_recovery}} THEN false
                    ELSE {{identity}} OPERATOR(pg_catalog.=) $8::pg_catalog.text AND pg_catalog.pg_try_advisory_xact_lock($10, $11) END AS won
     ),
     locked AS MATERIALIZED (
        SELECT target.{{id}}
          FROM {{table}} AS target
         WHERE (SELECT won FROM gate)
           AND target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}
           AND {{as_observed}}
           FOR UPDATE OF target SKIP LOCKED
     )
SELECT pg_catalog.set_config('beatwarden.held', CASE WHEN (SELECT pg_catalog.count(*) FROM locked) OPERATOR(pg_catalog.=) 1
                                                     THEN $12::pg_catalog.text ELSE '' END, true) AS held

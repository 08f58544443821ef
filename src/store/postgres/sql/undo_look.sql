/* beatwarden: undo look */
-- Returns what an undo would meet: the row ($2) with its start, state, end and heartbeat as text, whether each is still
-- as the repair left it ($3, the after-image), and the newer running job ($4, running states) of the same name, if any.
-- Read only; the undo repeats every guard. By the key's unique index.
SELECT {{started_at_read}} AS started_at, target.{{state}}::pg_catalog.text AS state, {{ended_at_text}} AS ended_at,
       {{heartbeat_at_value}}::pg_catalog.text AS heartbeat_at, {{undo_end_unchanged_look}} AS end_unchanged,
       {{undo_heartbeat_unchanged}} AS heartbeat_unchanged,
       (SELECT job.id FROM ({{job}}) AS job
         WHERE job.raw_state OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.text[]{{state_array}}) AND job.name OPERATOR(pg_catalog.=) {{job_name}}
           AND job.id OPERATOR(pg_catalog.<>) $2::pg_catalog.text AND job.started_at OPERATOR(pg_catalog.>) {{started_at_read}} LIMIT 1) AS newer
  FROM {{table}} AS target
 WHERE target.{{id}} {{id_equals}} $2::pg_catalog.text::{{id_type}}

/* beatwarden: undo look */
-- Returns what an undo would meet: the row ($2) with its start, state, end and heartbeat as text, whether each is still
-- as the repair left it ($3, the after-image), and the newer running job ($4, running states) of the same name, if any.
-- Read only; the undo repeats every guard. By the key's unique index.
SELECT {{started_at_read}} AS started_at, target.{{state}}::text AS state, {{ended_at_text}} AS ended_at,
       target.{{heartbeat_at}}::text AS heartbeat_at, {{undo_end_unchanged_look}} AS end_unchanged,
       target.{{heartbeat_at}} IS NOT DISTINCT FROM ($3::text::jsonb ->> {{heartbeat_at_literal}})::{{heartbeat_at_type}} AS heartbeat_unchanged,
       (SELECT job.id FROM ({{job}}) AS job
         WHERE job.raw_state = ANY ($4::text[]{{state_array}}) AND job.name = {{job_name}}
           AND job.id <> $2::text AND job.started_at > {{started_at_read}} LIMIT 1) AS newer
  FROM {{table}} AS target
 WHERE target.{{id}} = $2::text::{{id_type}}

-- The canonical relation: the jobs of the user's table, under the names that every other statement uses.
-- Returns: raw_id and raw_state in the columns' own types (for index use), text and timestamptz to compare with, and as
-- sent_* what a pass takes over, with as little work for the server as there can be: at a hundred thousand jobs that is what a
-- pass costs. Of long texts the beginning: they are read at every pass. $1 is the time zone of timestamps without one.
-- PostgreSQL flattens this sub-select, so indexes keep working, and what is not asked for is not computed.
SELECT target.{{id}} AS raw_id, target.{{id}}::pg_catalog.text AS id, {{job_name}} AS name,
       target.{{state}} AS raw_state, pg_catalog.left(target.{{state}}::pg_catalog.text, {{longest_text}}) AS state,
       {{started_at_read}} AS started_at, {{heartbeat_at_read}} AS heartbeat_at, {{ended_at_read}} AS ended_at,
       {{id_sent}} AS sent_id, {{job_name_sent}} AS sent_name, {{state_sent}} AS sent_state,
       {{started_at_sent}} AS sent_started_at, {{heartbeat_at_sent}} AS sent_heartbeat_at, {{ended_at_sent}} AS sent_ended_at
  FROM {{table}} AS target WHERE {{only}}

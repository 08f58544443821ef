-- The canonical relation: the jobs of the user's table, under the names that every other statement uses. Times and states stay as they
-- are stored, and are read outside: SQLite has no type for times, and a blob that spells a state is none. SQLite flattens
-- this sub-select.
-- octet_length() reads no value, so what is too long never comes into memory: such a key or time makes the row unreadable,
-- such a name or state is replaced by its length.
SELECT target.{{id}} AS raw_id,
       CASE WHEN octet_length(target.{{id}}) > {{longest_key}} THEN '(a key of ' || octet_length(target.{{id}}) || ' bytes)'
            ELSE CAST(target.{{id}} AS TEXT) END AS id,
       CASE WHEN octet_length({{job_name}}) > {{longest_read}} THEN '(a name of ' || octet_length({{job_name}}) || ' bytes)'
            ELSE CAST({{job_name}} AS TEXT) END AS name,
       target.{{state}} AS raw_state,
       CASE WHEN octet_length(target.{{state}}) > {{longest_read}} THEN '(a state of ' || octet_length(target.{{state}}) || ' bytes)'
            ELSE target.{{state}} END AS state,
       CASE WHEN octet_length(target.{{id}}) > {{longest_key}} THEN '' ELSE {{started_at_read}} END AS started_at,
       {{heartbeat_at_read}} AS heartbeat_at, {{ended_at_read}} AS ended_at
  FROM {{table}} AS target WHERE {{only}}

-- The canonical relation: the user's table under the names that every other statement uses. Times and states stay as they
-- are stored, and are read outside: SQLite has no type for times, and a blob that spells a state is none. SQLite flattens
-- this sub-select.
SELECT target.{{id}} AS raw_id, CAST(target.{{id}} AS TEXT) AS id, {{job_name}} AS name,
       target.{{state}} AS raw_state, target.{{state}} AS state,
       target.{{started_at}} AS started_at, target.{{heartbeat_at}} AS heartbeat_at, {{ended_at}} AS ended_at
  FROM {{table}} AS target

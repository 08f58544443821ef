-- The canonical relation: the user's table under the names that every other statement uses. Times stay as they are
-- stored; they are read outside, because SQLite has no type for them. SQLite flattens this sub-select.
SELECT target.{{id}} AS raw_id, CAST(target.{{id}} AS TEXT) AS id, {{job_name}} AS name,
       target.{{state}} AS raw_state, CAST(target.{{state}} AS TEXT) AS state,
       target.{{started_at}} AS started_at, target.{{heartbeat_at}} AS heartbeat_at, {{ended_at}} AS ended_at
  FROM {{table}} AS target

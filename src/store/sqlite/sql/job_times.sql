/* beatwarden: job times */
-- Returns start and heartbeat of one row (?1, its key as text) as they stand in it, cut.
SELECT substr(CAST({{started_at_value}} AS TEXT), 1, 60), substr(CAST({{heartbeat_at_value}} AS TEXT), 1, 60)
  FROM {{table}} AS target WHERE CAST(target.{{id}} AS TEXT) = ?1 LIMIT 1

/* beatwarden: observe page end */
-- Returns the last key of the ?2 rows after a key (?1), and how many there are. By the key.
SELECT max(raw_id), count(*)
  FROM (SELECT target.{{id}} AS raw_id FROM {{table}} AS target WHERE target.{{id}} > ?1 ORDER BY target.{{id}} LIMIT ?2)

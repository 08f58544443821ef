/* beatwarden: observe page end */
-- Returns the last key of the $2 rows after a key ($1), and how many there are; in the snapshot of the page itself. By the
-- key's unique index.
SELECT max(raw_id)::text AS last, count(*) AS rows
  FROM (SELECT target.{{id}} AS raw_id FROM {{table}} AS target WHERE target.{{id}} > $1::text::{{id_type}}
         ORDER BY target.{{id}} LIMIT $2) AS page

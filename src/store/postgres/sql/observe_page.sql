/* beatwarden: observe page */
-- Returns, of the $3 rows after a key ($2), those in a running state ($4) or in one that no list names ($5), $6 at most.
-- A piece of a full look beside the key tail: it finds what returned to a running state. By the key's unique index; the
-- inner limit bounds what is read, whatever the states are.
SELECT id, name, state, started_at, heartbeat_at, ended_at
  FROM (SELECT * FROM ({{job}}) AS job WHERE raw_id > $2::text::{{id_type}} ORDER BY raw_id LIMIT $3) AS page
 WHERE state = ANY ($4::text[]) OR state IS NULL OR state <> ALL ($5::text[])
 LIMIT $6

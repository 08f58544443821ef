/* beatwarden: observe keys */
-- Returns the newest keys, $1 at most: where the tail begins, and which keys near its end are missing. By the key's unique
-- index, backwards, and by nothing else; rows without a key would come first.
SELECT target.{{id}}::pg_catalog.text AS id FROM {{table}} AS target WHERE target.{{id}} IS NOT NULL AND {{only}} ORDER BY target.{{id}} DESC LIMIT $1

/* beatwarden: observe keyless */
-- Returns how many rows in a running state ($1) have no key, 1,000 at most: by their keys they can't be found. By the key's
-- unique index; asked in full looks only, and only where the key may be NULL.
SELECT pg_catalog.count(*) AS keyless
  FROM (SELECT FROM {{table}} AS target
         WHERE target.{{id}} IS NULL AND {{only}} AND target.{{state}}::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) LIMIT 1000) AS rows

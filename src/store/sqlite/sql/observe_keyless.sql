/* beatwarden: observe keyless */
-- Returns how many rows in a running state (?1, a JSON array) have no key, 1,000 at most: SQLite takes NULL in every key that
-- is no integer. By the key's unique index; asked only where the key may be NULL.
SELECT count(*) FROM (SELECT 1 FROM {{table}} AS target
                       WHERE target.{{id}} IS NULL AND {{only}} AND target.{{state}} IN (SELECT value FROM json_each(?1)) LIMIT 1000)

/* beatwarden: sample */
-- Returns short values of some columns, of ?1 rows at most: the newest by the row's own number where it has one, else any.
-- octet_length() reads no value, so what is long never comes into memory.
SELECT {{values}} FROM {{table}} AS target {{order}} LIMIT ?1

/* beatwarden: observe top */
-- Returns the greatest key of the table: one below a key that was seen means that the table was emptied or restored. By
-- the key, backwards.
SELECT max(target.{{id}}) FROM {{table}} AS target WHERE {{only}}

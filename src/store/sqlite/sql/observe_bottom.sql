/* beatwarden: observe bottom */
-- Returns the least key of the table. By the key.
SELECT min(target.{{id}}) FROM {{table}} AS target

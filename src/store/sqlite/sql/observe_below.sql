/* beatwarden: observe below */
-- Returns the greatest key below a key (?1): where the next page of a full look ends, however large the gap. By the key,
-- backwards.
SELECT max(target.{{id}}) FROM {{table}} AS target WHERE target.{{id}} < ?1

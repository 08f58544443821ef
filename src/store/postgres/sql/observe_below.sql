/* beatwarden: observe below */
-- Returns the greatest key below a key ($1): where the next page of a full look ends, however large the gap. In the snapshot
-- of the page itself. By the key's unique index, backwards.
SELECT max(target.{{id}})::text AS below FROM {{table}} AS target WHERE target.{{id}} < $1::text::{{id_type}}

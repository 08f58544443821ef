/* beatwarden: observe below */
-- Returns the greatest key below a key ($1): where the next page of a full look ends, however large the gap. In the snapshot
-- of the page itself. By the key's unique index, backwards.
SELECT pg_catalog.max(target.{{id}})::pg_catalog.text AS below FROM {{table}} AS target WHERE target.{{id}} OPERATOR(pg_catalog.<) $1::pg_catalog.text::{{id_type}}

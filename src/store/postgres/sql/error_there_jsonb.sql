-- Whether a jsonb column has the error text ($16) under its key ($17).
pg_catalog.jsonb_typeof({{error}}) OPERATOR(pg_catalog.=) 'object'
AND ({{error}} OPERATOR(pg_catalog.->>) $17::pg_catalog.text) OPERATOR(pg_catalog.=) $16::pg_catalog.text

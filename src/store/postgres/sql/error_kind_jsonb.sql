-- The same of a jsonb column.
coalesce(pg_catalog.jsonb_typeof({{error}}), 'null')

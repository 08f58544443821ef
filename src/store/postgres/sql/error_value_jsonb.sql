-- A jsonb column with the error text ($19) under its key ($20).
CASE WHEN {{error}} IS NULL OR pg_catalog.jsonb_typeof({{error}}) OPERATOR(pg_catalog.=) 'object'
     THEN coalesce({{error}}, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object($20::pg_catalog.text, $19::pg_catalog.text)
     ELSE {{error}} END

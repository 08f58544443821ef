-- A jsonb column without the error's key ($17); one that no longer has the text as it was written stays. $13: the image before.
CASE WHEN {{there}}
     THEN CASE WHEN {{was}} OPERATOR(pg_catalog.=) 'null' AND ({{error}} OPERATOR(pg_catalog.-) $17::pg_catalog.text) OPERATOR(pg_catalog.=) '{}'::pg_catalog.jsonb
               THEN NULL ELSE ({{error}} OPERATOR(pg_catalog.-) $17::pg_catalog.text) END
     ELSE {{column}} END

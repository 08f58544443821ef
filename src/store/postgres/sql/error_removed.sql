-- A text column without the error's pair ($15); one that no longer has it as it was written stays. $13: the image before.
CASE WHEN {{there}}
     THEN CASE WHEN {{behind}} OPERATOR(pg_catalog.>) 0 THEN pg_catalog.replace({{error}}, pg_catalog.concat(', ', $15::pg_catalog.text), '')
               WHEN {{before}} OPERATOR(pg_catalog.>) 0 THEN pg_catalog.replace({{error}}, pg_catalog.concat($15::pg_catalog.text, ', '), '')
               WHEN {{was}} OPERATOR(pg_catalog.=) 'null' THEN NULL WHEN {{was}} OPERATOR(pg_catalog.=) 'blank' THEN '' ELSE '{}' END
     ELSE {{column}} END

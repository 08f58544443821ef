-- Which kind of value a text column for errors has: the image before keeps it, so that undo knows what to put back. Of a long text both
-- ends are enough, unless they are nothing but braces and white space: to trim ten megabytes takes half a second, with the row locked.
(CASE WHEN {{error}} IS NULL THEN 'null'
      WHEN pg_catalog.octet_length({{error}}) OPERATOR(pg_catalog.>) 16000
           AND pg_catalog.btrim(pg_catalog.left({{error}}, 1000), E'{ \t\n\r') OPERATOR(pg_catalog.<>) ''
           AND pg_catalog.rtrim(pg_catalog.right({{error}}, 1000), E' \t\n\r') OPERATOR(pg_catalog.<>) ''
      THEN CASE WHEN pg_catalog.ltrim(pg_catalog.left({{error}}, 1000), E' \t\n\r') OPERATOR(pg_catalog.~~) '{%'
                 AND pg_catalog.rtrim(pg_catalog.right({{error}}, 1000), E' \t\n\r') OPERATOR(pg_catalog.~~) '%}' THEN 'object' ELSE 'other' END
      WHEN {{trimmed}} OPERATOR(pg_catalog.=) '' THEN 'blank'
      WHEN {{trimmed}} OPERATOR(pg_catalog.~~) '{%}'
      -- Nothing but one pair of braces and white space?
      THEN CASE WHEN pg_catalog.btrim({{trimmed}}, E'{} \t\n\r') OPERATOR(pg_catalog.=) ''
                 AND (pg_catalog.length({{trimmed}}) OPERATOR(pg_catalog.-)
                      pg_catalog.length(pg_catalog.replace(pg_catalog.replace({{trimmed}}, '{', ''), '}', ''))) OPERATOR(pg_catalog.=) 2
                THEN 'braces' ELSE 'object' END
      ELSE 'other' END)

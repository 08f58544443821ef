-- The place of the last brace of a text, counted from its end.
pg_catalog.strpos(pg_catalog.reverse(CASE WHEN pg_catalog.rtrim(pg_catalog.right({{error}}, 1000), E' \t\n\r') OPERATOR(pg_catalog.=) ''
                                          THEN {{error}} ELSE pg_catalog.right({{error}}, 1000) END), '}')

-- A text column with the error's pair ($18) in it; every byte that was there stays. The last brace is counted from the end: it is the last of
-- what is no white space.
CASE WHEN {{kind}} OPERATOR(pg_catalog.=) 'object'
     THEN pg_catalog.concat(pg_catalog.left({{error}}, 0 OPERATOR(pg_catalog.-) {{brace}}), ', ', $18::pg_catalog.text, pg_catalog.right({{error}}, {{brace}}))
     WHEN {{kind}} OPERATOR(pg_catalog.=) 'other' THEN {{error}} ELSE pg_catalog.concat('{', $18::pg_catalog.text, '}') END

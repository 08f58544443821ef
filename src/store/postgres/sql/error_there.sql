-- Whether the error's pair ($15) is in a text column as it was written: behind others, before others, as a writer that parses the column and
-- writes it again may have put it, or alone.
coalesce({{behind}} OPERATOR(pg_catalog.>) 0 OR {{before}} OPERATOR(pg_catalog.>) 0
         OR {{error}} OPERATOR(pg_catalog.=) pg_catalog.concat('{', $15::pg_catalog.text, '}'), false)

-- The same where that is refused: it changes each time, so that the facts are asked in each pass.
pg_catalog.concat($1::pg_catalog.text, $2::pg_catalog.text, pg_catalog.clock_timestamp())

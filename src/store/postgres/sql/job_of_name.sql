/* beatwarden: job of name */
-- Returns the row of a name ($2, of a long one its beginning) that started last. For a person at a terminal: it may scan the
-- table, within the limit of its transaction.
SELECT job.id FROM ({{job}}) AS job
 WHERE job.name OPERATOR(pg_catalog.=) pg_catalog.left($2::pg_catalog.text, {{longest_text}})
 ORDER BY job.started_at DESC NULLS LAST
 LIMIT 1

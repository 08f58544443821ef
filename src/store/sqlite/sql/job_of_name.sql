/* beatwarden: job of name */
-- Returns the row of a name (?1, of a long one its beginning) that started last; a start that is missing comes before all
-- others. For a person at a terminal: it may scan the table. Starts are compared as they are stored.
SELECT id FROM ({{job}}) AS job
 WHERE job.name = ?1 OR length(?1) >= {{longest_text}} AND substr(job.name, 1, {{longest_text}}) = ?1
 ORDER BY job.started_at DESC, job.raw_id DESC
 LIMIT 1

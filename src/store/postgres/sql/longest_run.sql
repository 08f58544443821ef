/* beatwarden: longest run */
-- Returns how many seconds the longest of the newest runs that ended well took ($2 runs at most, $3 the success states), or
-- NULL without one: a job is failed for its age only where such a run would have had twice the time. Wants an index that
-- begins with {{newest_by}}. Asked only in a full look, in a transaction of its own, with a short timeout.
SELECT pg_catalog.max(extract(epoch FROM job.ended_at OPERATOR(pg_catalog.-) job.started_at))::double precision AS seconds
  FROM ({{newest_good_job}}) AS job
 WHERE pg_catalog.isfinite(job.started_at) AND pg_catalog.isfinite(job.ended_at)

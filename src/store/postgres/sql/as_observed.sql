-- Whether a row still is as it was observed, in every column ($3 to $7), and past the deadline ($9 seconds), unless that is waived
-- ($16), and still a job. Arrays, because
-- their equality takes NULL for NULL, while IS NOT DISTINCT FROM finds its operator by the search path.
ARRAY[{{job_name}}, target.{{state}}::pg_catalog.text] OPERATOR(pg_catalog.=) ARRAY[$3::pg_catalog.text, $4::pg_catalog.text]
           AND ARRAY[{{started_at_read}}, {{heartbeat_at_read}}, {{ended_at_read}}]
               OPERATOR(pg_catalog.=) ARRAY[$5::pg_catalog.timestamptz, $6::pg_catalog.timestamptz, $7::pg_catalog.timestamptz]
           AND ($16::boolean OR {{started_at_read}} OPERATOR(pg_catalog.<=)
                (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $9::double precision)))
           AND {{only}}

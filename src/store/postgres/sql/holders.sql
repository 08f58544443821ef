/* beatwarden: holders */
-- Returns who keeps repairs waiting, five sessions at most, the likeliest first: the holder of the gate ($1, $2), the holder of
-- a row ($3, a key, or NULL), and any session that has had a lock on the table in an open transaction for a second: where several
-- sessions hold a row, it doesn't name one of them. What this role may not see of another's session is NULL.
-- Reads the server's table of locks, and the row by the key's unique index. Holds nothing itself, so a session that ends
-- meanwhile is a session less.
SELECT CASE WHEN lock.locktype OPERATOR(pg_catalog.=) 'advisory' THEN 'gate'
            WHEN lock.locktype OPERATOR(pg_catalog.=) 'transactionid' THEN 'row' ELSE 'table' END AS held,
       lock.pid, activity.usename::pg_catalog.text AS role, pg_catalog.left(activity.application_name, 100) AS application,
       activity.state AS state, activity.seconds
  FROM pg_catalog.pg_locks AS lock
  LEFT JOIN (SELECT pid, usename, application_name, state,
                    extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)
                                       coalesce(xact_start, state_change, backend_start))::double precision AS seconds
               FROM pg_catalog.pg_stat_activity) AS activity ON activity.pid OPERATOR(pg_catalog.=) lock.pid
 WHERE lock.granted AND lock.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
   AND (lock.locktype OPERATOR(pg_catalog.=) 'advisory' AND lock.classid OPERATOR(pg_catalog.=) $1
          AND lock.objid OPERATOR(pg_catalog.=) $2 AND lock.objsubid OPERATOR(pg_catalog.=) 2
          AND lock.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database
                                                     WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
        OR lock.locktype OPERATOR(pg_catalog.=) 'transactionid'
          AND lock.transactionid OPERATOR(pg_catalog.=) (SELECT target.xmax FROM {{table}} AS target
                                                          WHERE target.{{id}} {{id_equals}} $3::pg_catalog.text::{{id_type}} LIMIT 1)
        OR lock.locktype OPERATOR(pg_catalog.=) 'relation' AND lock.relation OPERATOR(pg_catalog.=) $2
          AND lock.mode OPERATOR(pg_catalog.<>) 'AccessShareLock' AND $3::pg_catalog.text IS NOT NULL
          AND lock.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database
                                                     WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
          AND coalesce(activity.seconds, 1) OPERATOR(pg_catalog.>=) 1)
 ORDER BY held, activity.seconds DESC NULLS LAST
 LIMIT 5

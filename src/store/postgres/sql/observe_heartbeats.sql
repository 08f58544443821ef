/* beatwarden: observe heartbeats */
-- Returns, of the keys from one ($2) to another ($3), those that have rows in another table, and of each the newest heartbeat
-- there, which is the greatest, as for a single job: its key names one row at most, or did so when the catalog was read. By the
-- index of that key; the range bounds what is read. $1 is the time zone of timestamps without one. In the snapshot of the jobs,
-- so a job and its heartbeat are of one moment. One row of two arrays: ten thousand rows take longer to send than to read.
SELECT pg_catalog.array_agg(newest.key::pg_catalog.int8) AS keys, pg_catalog.array_agg({{newest_sent}}) AS heartbeats
  FROM (SELECT other.{{other_key}} AS key, pg_catalog.max(other.{{other_time}}) AS at
          FROM {{other_rows}} AND other.{{other_key}} OPERATOR(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.int8
           AND other.{{other_key}} OPERATOR(pg_catalog.<=) $3::pg_catalog.text::pg_catalog.int8
         GROUP BY other.{{other_key}}) AS newest

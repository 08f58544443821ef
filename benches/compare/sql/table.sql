-- Meltano's table as its migrations leave it on PostgreSQL: these columns, types and defaults, and the primary key as the
-- only index. :rows finished rows, spread over the last year: 95 % successes; 1 % never had a heartbeat.
CREATE SEQUENCE job_id_seq AS integer;
CREATE TABLE runs (
    id integer NOT NULL DEFAULT nextval('job_id_seq'),
    job_name varchar,
    state varchar,
    started_at timestamp,
    ended_at timestamp,
    payload varchar,
    payload_flags integer,
    run_id uuid,
    trigger varchar,
    last_heartbeat_at timestamp
);
ALTER SEQUENCE job_id_seq OWNED BY runs.id;
CREATE FUNCTION pipeline(i bigint) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'prod:tap-source' || (i % 500) || '-to-target-warehouse';
-- About 300 bytes, as the state of a pipeline with three streams has.
CREATE FUNCTION payload(i bigint, at timestamp) RETURNS text LANGUAGE sql STABLE
    RETURN '{"singer_state": {"bookmarks": {"stream_a": {"replication_key": "updated_at", "replication_key_value": "'
        || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '"}, "stream_b": {"replication_key": "id", "replication_key_value": '
        || i || '}, "stream_c": {"cursor": "' || md5(i::text) || md5((i * 7)::text) || '"}}}}';
SELECT setseed(0.42) \g /dev/null
INSERT INTO runs
SELECT i, pipeline(i), CASE WHEN i % 20 = 0 THEN 'FAIL' ELSE 'SUCCESS' END, at, at + lasted, payload(i, at),
       CASE WHEN i % 20 = 0 THEN 2 ELSE 1 END, gen_random_uuid(), CASE WHEN i % 3 = 0 THEN 'schedule' END,
       CASE WHEN i % 100 <> 0 THEN at + lasted - interval '1 s' * random() END
  FROM (SELECT i, timezone('utc', now()) - interval '365 days' * (1 - i::float8 / :rows) AS at,
               interval '1 s' * (5 + 600 * random()) AS lasted
          FROM generate_series(1, :rows) AS i OFFSET 0) AS history;
ALTER TABLE runs ADD CONSTRAINT job_pkey PRIMARY KEY (id);
-- When the history was made, and for how many rows: it is kept for later runs.
CREATE TABLE made AS SELECT :rows::bigint AS rows, 0::bigint AS running, now() AS at, :version AS version;
GRANT SELECT ON runs TO pe, se, floor;
GRANT SELECT, UPDATE ON runs TO beats;
VACUUM ANALYZE runs;
CHECKPOINT;

-- Replaces the running rows by :running new ones, begun within the last two hours: 1 % without a heartbeat, 1 % silent for
-- more than five minutes, the others beat within the last second. The history's last hour becomes the last hour again.
SELECT setseed(0.24) \g /dev/null
DROP TABLE IF EXISTS beatwarden_repairs;
DELETE FROM runs USING made WHERE id > made.rows;
UPDATE runs SET started_at = recent.at, ended_at = recent.at + interval '20 s',
                last_heartbeat_at = CASE WHEN last_heartbeat_at IS NOT NULL THEN recent.at + interval '19 s' END
  FROM (SELECT rows - i AS id, timezone('utc', now()) - interval '1 h' * (i + 1) / (rows / 8760 + 2) AS at
          FROM made, generate_series(0, rows / 8760) AS i WHERE made.at < now() - interval '20 min') AS recent
 WHERE runs.id = recent.id;
UPDATE made SET at = now() WHERE at < now() - interval '20 min';
VACUUM runs;
INSERT INTO runs
SELECT rows + i, pipeline(i), 'RUNNING', at, NULL, payload(i, at), 0, gen_random_uuid(), NULL,
       CASE WHEN i % 100 = 0 THEN NULL
            WHEN i % 100 = 50 THEN timezone('utc', now()) - interval '5 min' - interval '1 h' * random()
            ELSE timezone('utc', now()) - interval '1 s' * random() END
  FROM (SELECT rows, i, timezone('utc', now()) - interval '2 h' * (1 - (i - 1)::float8 / :running) AS at
          FROM made, generate_series(1, :running) AS i OFFSET 0) AS begun;
UPDATE made SET running = :running;
GRANT SELECT ON made TO floor;
SELECT setval('job_id_seq', (SELECT max(id) FROM runs)) \g /dev/null
VACUUM ANALYZE runs;
CHECKPOINT;

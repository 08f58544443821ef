-- The two indexes that a table's owner could add for programs that ask by state. Neither holds the heartbeat, so that a beat
-- stays a HOT update.
CREATE INDEX runs_running ON runs (id) WHERE state = 'RUNNING';
CREATE INDEX runs_started_at ON runs (started_at);
VACUUM ANALYZE runs;

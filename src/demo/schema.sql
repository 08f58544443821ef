-- Meltano's own job table, as its migrations leave it.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    job_name VARCHAR,
    state VARCHAR,
    started_at DATETIME,
    ended_at DATETIME,
    payload VARCHAR,
    payload_flags INTEGER,
    run_id CHAR(32),
    "trigger" VARCHAR,
    last_heartbeat_at DATETIME
);

-- Which server this is: it changes with a restart, a promotion, and a switch to another server.
-- pg_control_checkpoint() shows a promotion only after the next checkpoint, the name of the WAL file at once; on a
-- standby that function fails, so it isn't called there.
concat_ws('/',
    (pg_control_system()).system_identifier, pg_is_in_recovery(),
    CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
    extract(epoch FROM pg_postmaster_start_time()))

-- Which server this is: it changes with a restart, a promotion, and a switch to another server.
-- pg_control_checkpoint() shows a promotion only after the next checkpoint, the name of the WAL file at once; on a
-- standby that function fails, so it isn't called there.
pg_catalog.concat_ws('/',
    (pg_catalog.pg_control_system()).system_identifier, pg_catalog.pg_is_in_recovery(),
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN '' ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END,
    extract(epoch FROM pg_catalog.pg_postmaster_start_time()))

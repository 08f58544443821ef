-- Which promotion it has had last. pg_control_checkpoint() shows a promotion only after the next checkpoint, the name of the
-- WAL file at once; on a standby that function fails, so it isn't called there.
CASE WHEN {{in_recovery}} THEN '' ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END

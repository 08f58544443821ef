-- Whether it is a standby.
pg_catalog.pg_is_in_recovery()

/* beatwarden: scan mark */
-- Returns one row: the server's clock. Asked before and after the scan for running rows, or a page of a full look, in the same
-- batch, so that the time between is what that costs the server, and neither distance nor our own processor counts. The table is named so that
-- a session that waits for its lock waits here, before the clock is read. Reads no row of it.
SELECT pg_catalog.clock_timestamp() AS at WHERE NOT EXISTS (SELECT FROM {{table}} LIMIT 0)

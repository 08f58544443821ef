/* beatwarden: repair backfill */
-- Writes the first heartbeat that an init did not: repair.sql with the heartbeat.
{{backfill}}

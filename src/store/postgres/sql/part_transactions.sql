-- Which transactions may not be in the snapshot: the oldest that runs, and the number that the next one gets. A key that is missing
-- may still come as long as a transaction runs that began before it was missed.
pg_catalog.txid_current_snapshot()::pg_catalog.text

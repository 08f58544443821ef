/* beatwarden: ledger gate */
-- Returns whether the gate of this table was won. The session that holds it is the only one that repairs; the transaction of a
-- repair whose answer was lost holds it until its end.
SELECT CASE WHEN {{in_recovery}} THEN false ELSE pg_catalog.pg_try_advisory_xact_lock($1, $2) END AS won

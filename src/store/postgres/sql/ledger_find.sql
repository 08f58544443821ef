/* beatwarden: ledger find */
-- Returns whether a repair ($1) is in the ledger. A statement of its own after the gate was won, so that its snapshot
-- is younger than the end of the transaction that is asked for.
SELECT EXISTS (SELECT FROM {{ledger}} WHERE repair_id = $1) AS found

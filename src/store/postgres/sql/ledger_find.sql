/* beatwarden: ledger find */
-- Returns one row if a repair ($1) is in the ledger: whether this process ($2) made it. A statement of its own after the
-- gate was won, so that its snapshot is younger than the end of the transaction that is asked for.
SELECT instance OPERATOR(pg_catalog.=) $2 AS ours FROM {{ledger}} WHERE repair_id OPERATOR(pg_catalog.=) $1

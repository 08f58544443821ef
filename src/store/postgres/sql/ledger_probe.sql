/* beatwarden: ledger probe */
-- Returns whether there is an entry of this watch ($1): without one nothing else is asked. By the index on
-- (watch, repaired_at).
SELECT EXISTS (SELECT FROM {{ledger}} WHERE watch = $1) AS found

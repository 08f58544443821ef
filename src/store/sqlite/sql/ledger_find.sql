/* beatwarden: ledger find */
-- Returns whether a repair (?1) is in the ledger. Asked under the write lock: nobody else's transaction is open then.
SELECT EXISTS (SELECT 1 FROM {{ledger}} WHERE repair_id = ?1)

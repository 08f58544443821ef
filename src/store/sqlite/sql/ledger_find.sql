/* beatwarden: ledger find */
-- Returns one row if a repair (?1) is in the ledger: whether this process (?2) made it. Asked under the write lock: no
-- other transaction is open then.
SELECT instance = ?2 FROM {{ledger}} WHERE repair_id = ?1

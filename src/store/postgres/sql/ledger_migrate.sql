/* beatwarden: ledger migrate */
-- Brings a ledger of the first layout to the second: the index that finds the false repairs nobody acknowledged. The
-- entries stay as they are; each keeps the number of the layout that wrote it. Only the owner may; without it everything
-- is right, and a long ledger is read more slowly.
CREATE INDEX IF NOT EXISTS {{ledger_unacknowledged}} ON {{ledger}} (watch, repaired_at)
 WHERE outcome = 'false_repair' AND acknowledged_at IS NULL;

/* beatwarden: ledger exists */
-- Returns whether there is a table of the ledger's name ($1, quoted). Catalog only.
SELECT to_regclass($1::text) IS NOT NULL AS found

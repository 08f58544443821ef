/* beatwarden: ledger exists */
-- Returns whether there is a table of the ledger's name ($2, quoted), and what is wrong with it beside the table ($1).
-- Catalog only.
SELECT ledger.oid IS NOT NULL AS found, ({{ledger_flaw}}) AS flaw
  FROM (SELECT pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid AS oid) AS relation,
       (SELECT pg_catalog.to_regclass($2::pg_catalog.text)::pg_catalog.oid AS oid) AS ledger

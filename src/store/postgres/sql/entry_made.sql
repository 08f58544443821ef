-- Fails where the row was changed and the ledger took no entry: a trigger, a rule or row security is in the way. The text is no
-- truth value, so that the error's message is this text. Marks the transaction for the look that follows (ledger_made.sql).
(SELECT CASE WHEN (SELECT pg_catalog.count(*) FROM entry) OPERATOR(pg_catalog.=) 1
                   THEN pg_catalog.set_config('beatwarden.made', 'true', true) ELSE {{no_entry}} END FROM changed)::boolean AS made

/* beatwarden: repair fail */
-- Ends a job: repair.sql with state, end and error text.
-- $17 the state to set, $18 the error text's pair, $19 its text, $20 its key
{{fail}}

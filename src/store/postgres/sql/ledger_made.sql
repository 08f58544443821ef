/* beatwarden: ledger made */
-- Fails where the statement before it changed a row, and the ledger does not hold its entry ($1) any more, as this process
-- ($2) wrote it for that job ($3): a trigger of the ledger took it away. In the same transaction, after its deferred triggers
-- were run. By the primary key.
SELECT CASE WHEN coalesce(pg_catalog.current_setting('beatwarden.made', true), '') OPERATOR(pg_catalog.<>) 'true' THEN 'true'
            WHEN EXISTS (SELECT FROM {{ledger}} AS entry
                          WHERE entry.repair_id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND entry.instance OPERATOR(pg_catalog.=) $2::pg_catalog.text
                            AND entry.job_id OPERATOR(pg_catalog.=) $3::pg_catalog.text) THEN 'true'
            ELSE {{no_entry}} END::boolean AS is_there

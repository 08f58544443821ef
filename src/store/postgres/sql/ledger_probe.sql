/* beatwarden: ledger probe */
-- Returns by what a pass sees whether the ledger of this table ($1, its spellings) has other entries than were read: how many
-- there are since $2, which false repairs no one acknowledged, and how many late heartbeats; all end at $3. By the indexes that
-- begin with table_name, and nearly always without a row.
SELECT (SELECT pg_catalog.count(*) FROM (SELECT FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])
           AND repaired_at OPERATOR(pg_catalog.>) $2 LIMIT $3) AS found) AS newer,
       ARRAY(SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])
           AND outcome OPERATOR(pg_catalog.=) 'false_repair' AND acknowledged_at IS NULL LIMIT $3) AS false_repairs,
       (SELECT pg_catalog.count(*) FROM (SELECT FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])
           AND outcome OPERATOR(pg_catalog.=) 'late_heartbeat' AND acknowledged_at IS NULL LIMIT $3) AS found) AS late_heartbeats

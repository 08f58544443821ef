/* beatwarden: ledger history */
-- Returns the newest entries of this table ($1, its spellings), newest first, $2 at most of each spelling, and every false
-- repair that no one acknowledged, however old, $3 at most. By the indexes that begin with table_name, as ledger_newest.sql.
SELECT {{entry}}
  FROM {{ledger}}
 WHERE repair_id OPERATOR(pg_catalog.=) ANY (ARRAY(
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name
                 ORDER BY repaired_at DESC LIMIT $2) AS found
        UNION
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name AND outcome OPERATOR(pg_catalog.=) 'false_repair' AND acknowledged_at IS NULL
                 ORDER BY repaired_at DESC LIMIT $3) AS found))
 ORDER BY repaired_at DESC, repair_id

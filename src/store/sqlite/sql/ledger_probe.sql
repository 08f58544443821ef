/* beatwarden: ledger probe */
-- Returns by what a pass sees whether the ledger of this table (?1, its spellings) has other entries than were read: how many
-- there are since ?2, which false repairs no one acknowledged, and how many late heartbeats; all end at ?3. By the indexes that
-- begin with table_name, and nearly always without a row. Times compare as text: all are RFC 3339 in UTC.
SELECT (SELECT count(*) FROM (SELECT 1 FROM {{ledger}} WHERE table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1))
           AND repaired_at > ?2 LIMIT ?3)) AS newer,
       (SELECT group_concat(repair_id, ' ') FROM (SELECT repair_id FROM {{ledger}}
         WHERE table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1))
           AND outcome = 'false_repair' AND acknowledged_at IS NULL LIMIT ?3)) AS false_repairs,
       (SELECT count(*) FROM (SELECT 1 FROM {{ledger}} WHERE table_name COLLATE NOCASE IN (SELECT value FROM json_each(?1))
           AND outcome = 'late_heartbeat' AND acknowledged_at IS NULL LIMIT ?3)) AS late_heartbeats

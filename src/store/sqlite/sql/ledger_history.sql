/* beatwarden: ledger history */
-- Returns the newest entries of this table (?1, its spellings), newest first, ?2 at most of each spelling, and every false
-- repair that no one acknowledged, however old, ?3 at most. By the indexes that begin with table_name, as ledger_newest.sql.
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before, after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE repair_id IN (
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE
                     ORDER BY repaired_at DESC LIMIT ?2))) AS found
        UNION
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE AND outcome = 'false_repair' AND acknowledged_at IS NULL
                     ORDER BY repaired_at DESC LIMIT ?3))) AS found)
 ORDER BY repaired_at DESC, repair_id

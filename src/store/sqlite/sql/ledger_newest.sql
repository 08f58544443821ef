/* beatwarden: ledger newest */
-- Returns what a pass needs of this table's (?1, its spellings) ledger, newest first: the newest entries (?2 at most, for
-- people), those of the last day (?3 at most, whose jobs stay under watch), every false repair and every late heartbeat that
-- no one acknowledged (?4 at most of each; a false repair holds the fuse open), and, unless ?3 is 0, the newest
-- acknowledgement of the fuse. The limits hold for each spelling. Each part by an index that begins with table_name, one
-- spelling after the other because the order of an index holds for one value only, so a long ledger costs nothing. Times compare
-- as text: all are RFC 3339 in UTC.
SELECT {{entry}}
  FROM {{ledger}}
 WHERE repair_id IN (
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE
                     ORDER BY repaired_at DESC LIMIT ?2))) AS found
        UNION
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE AND repaired_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-24 hours')
                     ORDER BY repaired_at DESC LIMIT ?3))) AS found
        UNION
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE AND outcome = 'false_repair' AND acknowledged_at IS NULL
                     ORDER BY repaired_at DESC LIMIT ?4))) AS found
        UNION
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE AND outcome = 'late_heartbeat' AND acknowledged_at IS NULL
                     ORDER BY repaired_at DESC LIMIT ?4))) AS found
        UNION
        SELECT found.value FROM json_each(?1) AS spelled,
               json_each((SELECT json_group_array(repair_id) FROM
                   (SELECT repair_id FROM {{ledger}} WHERE table_name = spelled.value COLLATE NOCASE AND action = 'ack_fuse'
                     AND repaired_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')
                     ORDER BY repaired_at DESC LIMIT min(1, ?3)))) AS found)
 ORDER BY repaired_at DESC, repair_id

/* beatwarden: ledger newest */
-- Returns what a pass needs of this watch's (?1) ledger, newest first: the newest entries (?2 at most, for people), those
-- of the last day (?3 at most, whose jobs stay under watch), every false repair that nobody acknowledged (?4 at most,
-- they hold the fuse open), and the newest acknowledgement of the fuse. Each part by an index, so a long ledger costs
-- nothing. Times compare as text: all are RFC 3339 in UTC.
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before, after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE repair_id IN (
        SELECT * FROM (SELECT repair_id FROM {{ledger}} WHERE watch = ?1 ORDER BY repaired_at DESC LIMIT ?2)
        UNION
        SELECT * FROM (SELECT repair_id FROM {{ledger}}
                        WHERE watch = ?1 AND repaired_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-24 hours')
                        ORDER BY repaired_at DESC LIMIT ?3)
        UNION
        SELECT * FROM (SELECT repair_id FROM {{ledger}}
                        WHERE watch = ?1 AND outcome = 'false_repair' AND acknowledged_at IS NULL
                        ORDER BY repaired_at DESC LIMIT ?4)
        UNION
        SELECT * FROM (SELECT repair_id FROM {{ledger}}
                        WHERE watch = ?1 AND action = 'ack_fuse'
                          AND repaired_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')
                        ORDER BY repaired_at DESC LIMIT 1))
 ORDER BY repaired_at DESC, repair_id

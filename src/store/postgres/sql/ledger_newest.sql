/* beatwarden: ledger newest */
-- Returns what a pass needs of this watch's ($1) ledger, newest first: the newest entries ($2 at most, for people), those
-- of the last day ($3 at most, whose jobs stay under watch), every false repair that nobody acknowledged ($4 at most,
-- they hold the fuse open), and the newest acknowledgement of the fuse. Each part by an index, and the entries by the primary
-- key (an array, because a join would be planned as a scan), so a long ledger costs nothing.
SELECT repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at,
       before::text AS before, after::text AS after, outcome, outcome_at, acknowledged_at, undo_of, version
  FROM {{ledger}}
 WHERE repair_id = ANY (ARRAY(
        (SELECT repair_id FROM {{ledger}} WHERE watch = $1 ORDER BY repaired_at DESC LIMIT $2)
        UNION
        (SELECT repair_id FROM {{ledger}}
          WHERE watch = $1 AND repaired_at > now() - interval '24 hours' ORDER BY repaired_at DESC LIMIT $3)
        UNION
        (SELECT repair_id FROM {{ledger}}
          WHERE watch = $1 AND outcome = 'false_repair' AND acknowledged_at IS NULL ORDER BY repaired_at DESC LIMIT $4)
        UNION
        (SELECT repair_id FROM {{ledger}}
          WHERE watch = $1 AND action = 'ack_fuse' AND repaired_at > now() - interval '1 hour' ORDER BY repaired_at DESC LIMIT 1)))
 ORDER BY repaired_at DESC, repair_id

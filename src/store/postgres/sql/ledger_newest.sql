/* beatwarden: ledger newest */
-- Returns what a pass needs of this watch's ($1) ledger, newest first: the newest entries ($2 at most, for people), those
-- of the last day ($3 at most, whose jobs stay under watch), every false repair that nobody acknowledged ($4 at most,
-- they hold the fuse open), and the newest acknowledgement of the fuse. Each part by an index, so a long ledger costs
-- nothing.
SELECT entry.repair_id, entry.watch, entry.table_name, entry.job_id, entry.job_name, entry.reason, entry.action,
       entry.instance, entry.started_at, entry.repaired_at, entry.before::text AS before, entry.after::text AS after,
       entry.outcome, entry.outcome_at, entry.acknowledged_at, entry.undo_of, entry.version
  FROM (
        (SELECT repair_id FROM {{ledger}} WHERE watch = $1 ORDER BY repaired_at DESC LIMIT $2)
        UNION
        (SELECT repair_id FROM {{ledger}}
          WHERE watch = $1 AND repaired_at > now() - interval '24 hours' ORDER BY repaired_at DESC LIMIT $3)
        UNION
        (SELECT repair_id FROM {{ledger}}
          WHERE watch = $1 AND outcome = 'false_repair' AND acknowledged_at IS NULL ORDER BY repaired_at DESC LIMIT $4)
        UNION
        (SELECT repair_id FROM {{ledger}}
          WHERE watch = $1 AND action = 'ack_fuse' AND repaired_at > now() - interval '1 hour' ORDER BY repaired_at DESC LIMIT 1)
       ) AS wanted
  JOIN {{ledger}} AS entry USING (repair_id)
 ORDER BY entry.repaired_at DESC, entry.repair_id

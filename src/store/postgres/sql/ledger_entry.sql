/* beatwarden: ledger entry */
-- Returns one repair ($2) of this watch ($1), and the entry that took it back, if there is one. By the primary key and
-- the index on (watch, job_id).
SELECT entry.repair_id, entry.watch, entry.table_name, entry.job_id, entry.job_name, entry.reason, entry.action,
       entry.instance, entry.started_at, entry.repaired_at, entry.before::text AS before, entry.after::text AS after,
       entry.outcome, entry.outcome_at, entry.acknowledged_at, entry.undo_of, entry.version,
       (SELECT undo.repaired_at FROM {{ledger}} AS undo
         WHERE undo.watch = entry.watch AND undo.job_id = entry.job_id AND undo.undo_of = entry.repair_id LIMIT 1) AS undone_at
  FROM {{ledger}} AS entry
 WHERE entry.watch = $1 AND entry.repair_id = $2

/* beatwarden: ledger entry */
-- Returns one repair ($2) of this table ($1, its spellings), and when it was taken back, if it was. By the primary key and
-- the index on (table_name, job_id).
SELECT entry.repair_id, entry.watch, entry.table_name, entry.job_id, entry.job_name, entry.reason, entry.action,
       entry.instance, entry.started_at, entry.repaired_at, entry.before::pg_catalog.text AS before, entry.after::pg_catalog.text AS after,
       entry.outcome, entry.outcome_at, entry.acknowledged_at, entry.undo_of, entry.version,
       (SELECT undo.repaired_at FROM {{ledger}} AS undo
         WHERE undo.table_name OPERATOR(pg_catalog.=) entry.table_name AND undo.job_id OPERATOR(pg_catalog.=) entry.job_id AND undo.undo_of OPERATOR(pg_catalog.=) entry.repair_id LIMIT 1) AS undone_at
  FROM {{ledger}} AS entry
 WHERE entry.table_name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND entry.repair_id OPERATOR(pg_catalog.=) $2

/* beatwarden: observe history */
-- Returns, of the newest rows by key ($2 at most), those in a running state ($3), and those that started within the window
-- of the success ratio ($4, seconds) before now: what a start needs to know of the time before it. By the key's unique
-- index, backwards. The limit stands inside, so that it bounds what is read, and only plain columns with it, so that
-- nothing is computed for rows that are then left out; the beginning of the window is computed once.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{newest_job}}) AS job
 WHERE raw_state OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[]{{state_array}}) OR {{in_window}}

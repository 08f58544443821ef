/* beatwarden: observe page */
-- Returns, of the rows from one key ($2) to another ($3), those in a running state ($4) or in one that no list names ($5).
-- A piece of a full look: it finds what the tail can't see. By the key's unique index; the range bounds what is read.
SELECT sent_id, sent_name, sent_state, sent_started_at, sent_heartbeat_at, sent_ended_at
  FROM ({{job}}) AS job
 WHERE raw_id OPERATOR(pg_catalog.>=) $2::pg_catalog.text::{{id_type}} AND raw_id OPERATOR(pg_catalog.<=) $3::pg_catalog.text::{{id_type}}
   AND (raw_state OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.text[]{{state_array}}) OR {{null_unknown}} OR raw_state::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ($5::pg_catalog.text[]))

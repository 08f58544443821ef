/* beatwarden: ledger newest */
-- Returns what a pass needs of this table's ($1, its spellings) ledger, newest first: the newest entries ($2 at most, for
-- people), those of the last day ($3 at most, whose jobs stay under watch), every false repair and every late heartbeat that
-- no one acknowledged ($4 at most of each; a false repair holds the fuse open), and, unless $3 is 0, the newest
-- acknowledgement of the fuse. The limits hold for each spelling. Each part by an index that begins with table_name, one
-- spelling after the other because the order of an index holds for one value only, and the entries by the primary key (an
-- array, because a join would be planned as a scan): a long ledger costs nothing.
SELECT {{entry}}
  FROM {{ledger}}
 WHERE repair_id OPERATOR(pg_catalog.=) ANY (ARRAY(
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name
                 ORDER BY repaired_at DESC LIMIT $2) AS found
        UNION
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name AND repaired_at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '24 hours')
                 ORDER BY repaired_at DESC LIMIT $3) AS found
        UNION
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name AND outcome OPERATOR(pg_catalog.=) 'false_repair' AND acknowledged_at IS NULL
                 ORDER BY repaired_at DESC LIMIT $4) AS found
        UNION
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name AND outcome OPERATOR(pg_catalog.=) 'late_heartbeat' AND acknowledged_at IS NULL
                 ORDER BY repaired_at DESC LIMIT $4) AS found
        UNION
        SELECT found.repair_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS spelled(name) CROSS JOIN LATERAL
               (SELECT repair_id FROM {{ledger}} WHERE table_name OPERATOR(pg_catalog.=) spelled.name AND action OPERATOR(pg_catalog.=) 'ack_fuse' AND repaired_at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '1 hour')
                 ORDER BY repaired_at DESC LIMIT least(1, $3)) AS found))
 ORDER BY repaired_at DESC, repair_id

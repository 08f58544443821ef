/* beatwarden: other refers */
-- Returns whether a table ($1, oid) has a foreign key of one column ($2) that refers to one column ($4) of another ($3, oid): then
-- a session that has inserted a row and not committed holds a lock of the row that it refers to. Catalog only.
SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint AS refers
                 JOIN pg_catalog.pg_attribute AS own ON own.attrelid OPERATOR(pg_catalog.=) refers.conrelid
                  AND own.attname OPERATOR(pg_catalog.=) $2::pg_catalog.text::pg_catalog.name
                 JOIN pg_catalog.pg_attribute AS job ON job.attrelid OPERATOR(pg_catalog.=) refers.confrelid
                  AND job.attname OPERATOR(pg_catalog.=) $4::pg_catalog.text::pg_catalog.name
                WHERE refers.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char"
                  AND refers.conrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND refers.confrelid OPERATOR(pg_catalog.=) $3::pg_catalog.oid
                  AND refers.conkey OPERATOR(pg_catalog.=) ARRAY[own.attnum] AND refers.confkey OPERATOR(pg_catalog.=) ARRAY[job.attnum]) AS refers

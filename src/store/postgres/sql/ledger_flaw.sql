-- What is wrong with the ledger of the row that this stands in, as a word and what it is about, or NULL. An entry has to stay
-- as it was written, and no one may run code of theirs with our rights by it: a plain table that outlives a crash, of this
-- role, of the table's owner, or of who could be them (owner of database or schema, superuser, who makes roles), one key, no
-- rules, row security, heirs, and no triggers but those that come after the entry with the rights of their own function, as an
-- audit does (66: before, instead of). $6: its columns as name and type (oid).
SELECT CASE
       WHEN class.relkind OPERATOR(pg_catalog.<>) 'r' OR class.relpersistence OPERATOR(pg_catalog.<>) 'p' THEN 'kind'
       WHEN class.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_inherits AS heir
             WHERE heir.inhparent OPERATOR(pg_catalog.=) class.oid OR heir.inhrelid OPERATOR(pg_catalog.=) class.oid) THEN 'heir'
       WHEN (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS attribute
              WHERE attribute.attrelid OPERATOR(pg_catalog.=) class.oid AND NOT attribute.attisdropped
                AND pg_catalog.concat(attribute.attname, ' ', attribute.atttypid) OPERATOR(pg_catalog.=) ANY ($6::pg_catalog.text[]))
            OPERATOR(pg_catalog.<>) pg_catalog.cardinality($6::pg_catalog.text[]) THEN 'columns'
       WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS holder
             WHERE holder.oid OPERATOR(pg_catalog.=) class.relowner
               AND (holder.rolsuper OR holder.rolcreaterole OR holder.rolname OPERATOR(pg_catalog.=) current_user
                    OR holder.oid OPERATOR(pg_catalog.=) home.nspowner
                    OR holder.oid OPERATOR(pg_catalog.=) (SELECT own.datdba FROM pg_catalog.pg_database AS own
                        WHERE own.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
                    OR pg_catalog.pg_has_role(holder.oid, (SELECT watched.relowner FROM pg_catalog.pg_class AS watched
                        WHERE watched.oid OPERATOR(pg_catalog.=) relation.oid), 'MEMBER')))
            THEN pg_catalog.concat('owner ', pg_catalog.pg_get_userbyid(class.relowner))
       WHEN EXISTS (SELECT FROM pg_catalog.pg_rewrite AS rule WHERE rule.ev_class OPERATOR(pg_catalog.=) class.oid) THEN 'rule'
       WHEN pg_catalog.row_security_active(class.oid) THEN 'policy'
       WHEN class.relhastriggers AND trigger.name IS NOT NULL THEN pg_catalog.concat('trigger ', trigger.name)
       WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_index AS index
             JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid OPERATOR(pg_catalog.=) index.indrelid
                  AND attribute.attname OPERATOR(pg_catalog.=) 'repair_id' AND attribute.attnum OPERATOR(pg_catalog.=) index.indkey[0]
            WHERE index.indrelid OPERATOR(pg_catalog.=) class.oid AND index.indisunique AND index.indisvalid AND index.indimmediate
              AND index.indpred IS NULL AND index.indnkeyatts OPERATOR(pg_catalog.=) 1) THEN 'key'
       END
  FROM pg_catalog.pg_class AS class
  LEFT JOIN LATERAL (SELECT pg_catalog.min(found.tgname::pg_catalog.text) AS name
               FROM pg_catalog.pg_trigger AS found JOIN pg_catalog.pg_proc AS proc ON proc.oid OPERATOR(pg_catalog.=) found.tgfoid
              WHERE found.tgrelid OPERATOR(pg_catalog.=) class.oid AND NOT found.tgisinternal
                AND (NOT proc.prosecdef OR (found.tgtype OPERATOR(pg_catalog.&) 66::smallint) OPERATOR(pg_catalog.<>) 0)) AS trigger ON true
  JOIN pg_catalog.pg_namespace AS home ON home.oid OPERATOR(pg_catalog.=) class.relnamespace
 WHERE class.oid OPERATOR(pg_catalog.=) ledger.oid

/* beatwarden: inventory */
-- Returns the columns of all tables and views that are not the system's, table by table, $1 at most; of each table its oid, schema, name,
-- kind, whether code of its owner runs when its rows are read or a statement about them is planned (`runs_code`), and the estimated
-- number of rows (-1: unknown); of each column its name and type, whether it is unique alone, whether an index over all rows begins
-- with it, whether this role may read it, and the labels of an enum, or the values that a CHECK (state IN (...)) lists. `path` are
-- the schemas that this session finds tables in, `now` and `zone` its time, in microseconds, and its zone. Partitions are left out:
-- their table stands for them. Catalog only.
WITH RECURSIVE
kin AS (SELECT class.oid AS root, class.oid AS member FROM pg_catalog.pg_class AS class
         WHERE class.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,m}'::pg_catalog."char"[]) AND NOT class.relispartition
         UNION
        SELECT kin.root, heir.inhrelid FROM kin JOIN pg_catalog.pg_inherits AS heir ON heir.inhparent OPERATOR(pg_catalog.=) kin.member),
-- What calls a function, or uses an operator, that is not the server's own. The planner computes what it can of an index, of
-- statistics, of a partition key, and of the constraints of partitions and child tables, with the rights of who asks.
callers AS (SELECT depend.classid, depend.objid FROM pg_catalog.pg_depend AS depend
             WHERE depend.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass]::pg_catalog.oid[])
               AND depend.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid),
code AS (SELECT kin.root FROM kin JOIN pg_catalog.pg_class AS member ON member.oid OPERATOR(pg_catalog.=) kin.member
          WHERE member.relkind OPERATOR(pg_catalog.=) 'f'
          UNION
         SELECT kin.root FROM kin JOIN callers ON callers.objid OPERATOR(pg_catalog.=) kin.member
          WHERE callers.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          UNION
         SELECT kin.root FROM kin JOIN pg_catalog.pg_index AS index ON index.indrelid OPERATOR(pg_catalog.=) kin.member
           JOIN callers ON callers.objid OPERATOR(pg_catalog.=) index.indexrelid
          WHERE callers.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          UNION
         SELECT kin.root FROM kin JOIN pg_catalog.pg_statistic_ext AS statistics ON statistics.stxrelid OPERATOR(pg_catalog.=) kin.member
           JOIN callers ON callers.objid OPERATOR(pg_catalog.=) statistics.oid
          WHERE callers.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass
          UNION
         SELECT kin.root FROM kin JOIN pg_catalog.pg_constraint AS rule ON rule.conrelid OPERATOR(pg_catalog.=) kin.member
           JOIN callers ON callers.objid OPERATOR(pg_catalog.=) rule.oid
          WHERE callers.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass AND kin.member OPERATOR(pg_catalog.<>) kin.root)
SELECT class.oid AS oid, namespace.nspname::pg_catalog.text AS schema, class.relname::pg_catalog.text AS name, class.relkind::pg_catalog.text AS kind,
       class.relrowsecurity OR code.root IS NOT NULL AS runs_code, class.reltuples::double precision AS rows,
       pg_catalog.current_schemas(false)::pg_catalog.text[] AS path,
       (pg_catalog.date_part('epoch', pg_catalog.now()) OPERATOR(pg_catalog.*) 1000000::double precision)::pg_catalog.int8 AS now,
       pg_catalog.current_setting('TimeZone') AS zone,
       attribute.attname::pg_catalog.text AS column, pg_catalog.format_type(attribute.atttypid, NULL) AS type,
       -- A type of someone's own may have the name of a built-in one.
       CASE WHEN coalesce(base.typnamespace, type.typnamespace) OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
            THEN coalesce(base.typname, type.typname)::pg_catalog.text ELSE '' END AS base, type.typtype OPERATOR(pg_catalog.=) 'e' AS is_enum,
       coalesce(led.is_unique, false) AS is_unique, led.is_unique IS NOT NULL AS leads_index,
       pg_catalog.has_schema_privilege(namespace.oid, 'USAGE') AND pg_catalog.has_column_privilege(class.oid, attribute.attnum, 'SELECT') AS readable,
       CASE WHEN type.typtype OPERATOR(pg_catalog.=) 'e'
            THEN ARRAY(SELECT label.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS label
                        WHERE label.enumtypid OPERATOR(pg_catalog.=) attribute.atttypid ORDER BY label.enumsortorder LIMIT 100)
            ELSE coalesce(checked.labels, '{}'::pg_catalog.text[]) END AS labels
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) class.relnamespace
  JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid OPERATOR(pg_catalog.=) class.oid
       AND attribute.attnum OPERATOR(pg_catalog.>) 0 AND NOT attribute.attisdropped
  JOIN pg_catalog.pg_type AS type ON type.oid OPERATOR(pg_catalog.=) attribute.atttypid
  LEFT JOIN pg_catalog.pg_type AS base ON type.typtype OPERATOR(pg_catalog.=) 'd' AND base.oid OPERATOR(pg_catalog.=) type.typbasetype
  LEFT JOIN code ON code.root OPERATOR(pg_catalog.=) class.oid
  LEFT JOIN (SELECT index.indrelid, index.indkey[0] AS column,
                    pg_catalog.bool_or(index.indisunique AND index.indnkeyatts OPERATOR(pg_catalog.=) 1) AS is_unique
               FROM pg_catalog.pg_index AS index WHERE index.indisvalid AND index.indpred IS NULL
              GROUP BY index.indrelid, index.indkey[0]) AS led
       ON led.indrelid OPERATOR(pg_catalog.=) class.oid AND led.column OPERATOR(pg_catalog.=) attribute.attnum
  LEFT JOIN (SELECT rule.conrelid, rule.conkey[1] AS column, pg_catalog.array_agg(literal[1]) AS labels
               FROM pg_catalog.pg_constraint AS rule,
                    LATERAL (SELECT pg_catalog.pg_get_constraintdef(rule.oid)) AS written (definition),
                    LATERAL pg_catalog.regexp_matches(written.definition, '[[(, ]''([^'']*)''::', 'g') AS literal
              WHERE rule.contype OPERATOR(pg_catalog.=) 'c' AND pg_catalog.array_length(rule.conkey, 1) OPERATOR(pg_catalog.=) 1
                AND written.definition OPERATOR(pg_catalog.~~) '%= ANY (%'
              GROUP BY rule.conrelid, rule.conkey[1]) AS checked
       ON checked.conrelid OPERATOR(pg_catalog.=) class.oid AND checked.column OPERATOR(pg_catalog.=) attribute.attnum
 WHERE class.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[]) AND NOT class.relispartition
   AND namespace.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema}'::pg_catalog.name[])
   AND namespace.nspname OPERATOR(pg_catalog.!~~) 'pg\_toast%' AND namespace.nspname OPERATOR(pg_catalog.!~~) 'pg\_temp%'
 ORDER BY class.oid, attribute.attnum
 LIMIT $1

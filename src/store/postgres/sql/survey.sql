/* beatwarden: survey */
-- Returns what stands around the table ($1, oid), its mapped columns ($2) and a ledger ($3, quoted), a row each: `kind` is role, trusted,
-- power, owner, or the kind of a neighbour; `name` and `detail` are names. Catalog only. 200 rows at most.
WITH RECURSIVE me AS (SELECT role.oid, role.rolname, role.rolsuper FROM pg_catalog.pg_roles AS role WHERE role.rolname OPERATOR(pg_catalog.=) current_user),
watched AS (SELECT class.oid, class.relowner FROM pg_catalog.pg_class AS class WHERE class.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid),
columns AS (SELECT attribute.attname, attribute.attnum, attribute.atttypid FROM pg_catalog.pg_attribute AS attribute, watched
             WHERE attribute.attrelid OPERATOR(pg_catalog.=) watched.oid AND attribute.attnum OPERATOR(pg_catalog.>) 0
               AND NOT attribute.attisdropped),
-- The types of the columns, and those that a domain is made over.
types AS (SELECT columns.attname, columns.atttypid AS oid FROM columns
           UNION
          SELECT types.attname, domain.typbasetype FROM types JOIN pg_catalog.pg_type AS domain ON domain.oid OPERATOR(pg_catalog.=) types.oid
           WHERE domain.typtype OPERATOR(pg_catalog.=) 'd'),
own_functions AS (SELECT depend.classid, depend.objid, pg_catalog.format('%s', depend.refobjid::pg_catalog.regprocedure) AS called
                    FROM pg_catalog.pg_depend AS depend
                   WHERE depend.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                     AND depend.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
                   UNION ALL
                  -- An expression depends on an operator that it uses, and not on that operator's function.
                  SELECT depend.classid, depend.objid, pg_catalog.format('%s', operator.oprcode::pg_catalog.regprocedure)
                    FROM pg_catalog.pg_depend AS depend JOIN pg_catalog.pg_operator AS operator ON operator.oid OPERATOR(pg_catalog.=) depend.refobjid
                   WHERE depend.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
                     AND depend.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid)
SELECT found.kind, found.name, found.detail FROM (
SELECT 'role' AS kind, me.rolname::pg_catalog.text AS name, pg_catalog.pg_get_userbyid(watched.relowner)::pg_catalog.text AS detail FROM me, watched
UNION ALL
SELECT 'trusted', '', '' FROM me, watched JOIN pg_catalog.pg_roles AS owner ON owner.oid OPERATOR(pg_catalog.=) watched.relowner
 WHERE owner.rolsuper OR owner.oid OPERATOR(pg_catalog.=) me.oid
UNION ALL
SELECT 'power', power.word, CASE WHEN role.oid OPERATOR(pg_catalog.=) me.oid THEN '' ELSE role.rolname::pg_catalog.text END
  FROM me, pg_catalog.pg_roles AS role,
       LATERAL (VALUES ('is a superuser', role.rolsuper), ('has BYPASSRLS', role.rolbypassrls AND NOT role.rolsuper),
                       ('has CREATEROLE', role.rolcreaterole AND NOT role.rolsuper)) AS power (word, has)
 WHERE power.has AND (role.oid OPERATOR(pg_catalog.=) me.oid OR NOT me.rolsuper AND pg_catalog.pg_has_role(role.oid, 'MEMBER'))
UNION ALL
SELECT 'power', 'is a member of', role.rolname::pg_catalog.text
  FROM me, pg_catalog.pg_roles AS role
 WHERE NOT me.rolsuper AND pg_catalog.pg_has_role(role.oid, 'MEMBER')
   AND role.rolname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY['pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files']::pg_catalog.text[])
UNION ALL
SELECT DISTINCT 'owner', pg_catalog.pg_get_userbyid(class.relowner)::pg_catalog.text, ''
  FROM me, watched, pg_catalog.pg_class AS class JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) class.relnamespace
 WHERE NOT me.rolsuper AND class.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[])
   AND class.relowner OPERATOR(pg_catalog.<>) watched.relowner AND class.relowner OPERATOR(pg_catalog.<>) me.oid
   AND coalesce(class.oid OPERATOR(pg_catalog.<>) pg_catalog.to_regclass($3::pg_catalog.text)::pg_catalog.oid, true)
   AND namespace.nspname::pg_catalog.text OPERATOR(pg_catalog.!~~) 'pg\_%' AND namespace.nspname::pg_catalog.text OPERATOR(pg_catalog.<>) 'information_schema'
   -- The ledgers of other watches may belong to the role that ran what `grants` prints.
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS ours WHERE ours.attrelid OPERATOR(pg_catalog.=) class.oid
                      AND ours.attname OPERATOR(pg_catalog.=) 'repair_id' AND NOT ours.attisdropped)
   AND pg_catalog.has_any_column_privilege(class.oid, 'UPDATE')
UNION ALL
SELECT 'trigger', trigger.tgname::pg_catalog.text, pg_catalog.format('%s', trigger.tgfoid::pg_catalog.regprocedure)
  FROM watched JOIN pg_catalog.pg_trigger AS trigger ON trigger.tgrelid OPERATOR(pg_catalog.=) watched.oid
 WHERE NOT trigger.tgisinternal AND trigger.tgname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL (ARRAY[$4::pg_catalog.text, $4::pg_catalog.text OPERATOR(pg_catalog.||) '_start'])
UNION ALL
SELECT 'cast', type.attname::pg_catalog.text, pg_catalog.format('%s', cast_.castfunc::pg_catalog.regprocedure)
  FROM types AS type
  JOIN pg_catalog.pg_cast AS cast_ ON cast_.castfunc OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
   AND (cast_.castsource OPERATOR(pg_catalog.=) type.oid AND cast_.casttarget OPERATOR(pg_catalog.=) '25'::pg_catalog.oid
        OR cast_.casttarget OPERATOR(pg_catalog.=) type.oid AND cast_.castsource OPERATOR(pg_catalog.=) '25'::pg_catalog.oid)
 WHERE type.attname::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[])
UNION ALL
SELECT 'policy', policy.polname::pg_catalog.text, '' FROM watched JOIN pg_catalog.pg_policy AS policy ON policy.polrelid OPERATOR(pg_catalog.=) watched.oid
UNION ALL
SELECT 'rule', rewrite.rulename::pg_catalog.text, '' FROM watched JOIN pg_catalog.pg_rewrite AS rewrite ON rewrite.ev_class OPERATOR(pg_catalog.=) watched.oid
 WHERE rewrite.rulename OPERATOR(pg_catalog.<>) '_RETURN'
UNION ALL
SELECT 'heir', pg_catalog.format('%s', heir.inhrelid::pg_catalog.regclass), '' FROM watched
  JOIN pg_catalog.pg_inherits AS heir ON heir.inhparent OPERATOR(pg_catalog.=) watched.oid
UNION ALL
SELECT 'generated', columns.attname::pg_catalog.text, '' FROM columns, watched, pg_catalog.pg_attribute AS attribute
 WHERE attribute.attrelid OPERATOR(pg_catalog.=) watched.oid AND attribute.attnum OPERATOR(pg_catalog.=) columns.attnum
   AND attribute.attgenerated OPERATOR(pg_catalog.<>) ''
UNION ALL
SELECT 'domain', types.attname::pg_catalog.text, own_functions.called
  FROM types JOIN pg_catalog.pg_constraint AS rule ON rule.contypid OPERATOR(pg_catalog.=) types.oid AND rule.contypid OPERATOR(pg_catalog.<>) '0'::pg_catalog.oid
  JOIN own_functions ON own_functions.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass AND own_functions.objid OPERATOR(pg_catalog.=) rule.oid
UNION ALL
SELECT 'constraint', rule.conname::pg_catalog.text, own_functions.called
  FROM watched JOIN pg_catalog.pg_constraint AS rule ON rule.conrelid OPERATOR(pg_catalog.=) watched.oid
  JOIN own_functions ON own_functions.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass AND own_functions.objid OPERATOR(pg_catalog.=) rule.oid
UNION ALL
SELECT 'index', pg_catalog.format('%s', index.indexrelid::pg_catalog.regclass), own_functions.called
  FROM watched JOIN pg_catalog.pg_index AS index ON index.indrelid OPERATOR(pg_catalog.=) watched.oid
  JOIN own_functions ON own_functions.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND own_functions.objid OPERATOR(pg_catalog.=) index.indexrelid
UNION ALL
SELECT 'statistics', statistics.stxname::pg_catalog.text, own_functions.called
  FROM watched JOIN pg_catalog.pg_statistic_ext AS statistics ON statistics.stxrelid OPERATOR(pg_catalog.=) watched.oid
  JOIN own_functions ON own_functions.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND own_functions.objid OPERATOR(pg_catalog.=) statistics.oid
) AS found LIMIT 200

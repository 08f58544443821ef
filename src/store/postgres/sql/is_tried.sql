/* beatwarden: is tried */
-- Returns whether a value of the type ($1, quoted) can be made without a function that is someone's own: the type is the server's, an
-- extension's or an enum, or a domain over such a type, and no constraint of the domains calls such a function, by name or by an
-- operator. Catalog only.
WITH RECURSIVE under AS (
    SELECT pg_catalog.to_regtype($1::pg_catalog.text)::pg_catalog.oid AS oid
     UNION ALL
    SELECT domain.typbasetype FROM under JOIN pg_catalog.pg_type AS domain ON domain.oid OPERATOR(pg_catalog.=) under.oid
     WHERE domain.typtype OPERATOR(pg_catalog.=) 'd')
SELECT EXISTS (SELECT FROM under JOIN pg_catalog.pg_type AS bottom ON bottom.oid OPERATOR(pg_catalog.=) under.oid
                WHERE bottom.typtype OPERATOR(pg_catalog.=) 'e'
                   OR bottom.typtype OPERATOR(pg_catalog.<>) 'd' AND bottom.oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid
                   OR EXISTS (SELECT FROM pg_catalog.pg_depend AS extension
                               WHERE extension.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
                                 AND extension.objid OPERATOR(pg_catalog.=) bottom.oid AND extension.deptype OPERATOR(pg_catalog.=) 'e'))
       AND NOT EXISTS (SELECT FROM under JOIN pg_catalog.pg_constraint AS rule ON rule.contypid OPERATOR(pg_catalog.=) under.oid
                         JOIN pg_catalog.pg_depend AS depend ON depend.objid OPERATOR(pg_catalog.=) rule.oid
                          AND depend.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass
                        WHERE depend.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass]::pg_catalog.oid[])
                          AND depend.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid) AS is_tried

/* beatwarden: columns */
-- Returns the columns of a table ($1, quoted): the table's oid, name, type as people write it, the type to cast to, with its
-- schema and without its length, the operator of its equality, the name of the type, or of the type under a domain and all the
-- domains that this is made over, whether it is a domain, the longest text it takes (or -1), whether it may be NULL, and whether
-- it alone is unique by a valid constraint. Row locks and "exactly one row" rest on that uniqueness, so partial, deferrable and
-- invalid indexes don't count; `is_unique_at_commit` counts deferrable ones as well, which is enough for reading. The operator is
-- that of the type's default order, which only a superuser can name.
SELECT attribute.attrelid AS oid, attribute.attname::pg_catalog.text AS name, pg_catalog.format_type(attribute.atttypid, NULL) AS type,
       pg_catalog.concat(pg_catalog.quote_ident(namespace.nspname), '.', pg_catalog.quote_ident(type.typname)) AS named_type,
       coalesce((SELECT pg_catalog.concat('OPERATOR(', pg_catalog.quote_ident(home.nspname), '.', operator.oprname, ')')
                   FROM pg_catalog.pg_opclass AS class
                   JOIN pg_catalog.pg_am AS method ON method.oid OPERATOR(pg_catalog.=) class.opcmethod AND method.amname OPERATOR(pg_catalog.=) 'btree'
                   JOIN pg_catalog.pg_amop AS member ON member.amopfamily OPERATOR(pg_catalog.=) class.opcfamily AND member.amopstrategy OPERATOR(pg_catalog.=) 3
                        AND member.amoplefttype OPERATOR(pg_catalog.=) class.opcintype AND member.amoprighttype OPERATOR(pg_catalog.=) class.opcintype
                   JOIN pg_catalog.pg_operator AS operator ON operator.oid OPERATOR(pg_catalog.=) member.amopopr
                   JOIN pg_catalog.pg_namespace AS home ON home.oid OPERATOR(pg_catalog.=) operator.oprnamespace
                  WHERE class.opcdefault AND class.opcintype OPERATOR(pg_catalog.=) base.oid LIMIT 1),
                'OPERATOR(pg_catalog.=)') AS equality,
       base.name::pg_catalog.text AS base, type.typtype::pg_catalog.text AS kind,
       CASE WHEN base.oid OPERATOR(pg_catalog.=) ANY ('{varchar,bpchar}'::pg_catalog.regtype[]) AND base.modifier OPERATOR(pg_catalog.>) 4
            THEN base.modifier OPERATOR(pg_catalog.-) 4 ELSE -1 END AS longest,
       coalesce(uniqueness.is_immediate, false) AS is_unique, uniqueness.is_immediate IS NOT NULL AS is_unique_at_commit,
       NOT attribute.attnotnull AS nullable,
       {{readable}} AS readable,
       ARRAY(SELECT label.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS label
              WHERE label.enumtypid OPERATOR(pg_catalog.=) attribute.atttypid ORDER BY label.enumsortorder) AS labels
  FROM pg_catalog.pg_attribute AS attribute
  JOIN pg_catalog.pg_type AS type ON type.oid OPERATOR(pg_catalog.=) attribute.atttypid
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) type.typnamespace
  LEFT JOIN LATERAL (SELECT pg_catalog.bool_or(index.indimmediate) AS is_immediate FROM pg_catalog.pg_index AS index
                      WHERE index.indrelid OPERATOR(pg_catalog.=) attribute.attrelid AND index.indisunique AND index.indisvalid
                        AND index.indpred IS NULL AND index.indnkeyatts OPERATOR(pg_catalog.=) 1
                        AND index.indkey[0] OPERATOR(pg_catalog.=) attribute.attnum) AS uniqueness ON true
  CROSS JOIN LATERAL ({{bottom_type}}) AS base
 WHERE attribute.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text) AND attribute.attnum OPERATOR(pg_catalog.>) 0 AND NOT attribute.attisdropped
 ORDER BY attribute.attnum

/* beatwarden: function */
-- Returns the functions of a name ($2) in a schema ($1): number, signature for people, whether it is one that can be called for a
-- row, how many arguments it takes and how many of them have defaults, and of each argument the type to cast to and the name of the
-- type, or of the type under a domain. Catalog only.
SELECT procedure.oid AS oid,
       pg_catalog.concat(pg_catalog.quote_ident(namespace.nspname), '.', pg_catalog.quote_ident(procedure.proname), '(',
                         pg_catalog.pg_get_function_identity_arguments(procedure.oid), ')') AS signature,
       procedure.prokind OPERATOR(pg_catalog.=) 'f'::pg_catalog."char" AND NOT procedure.proretset
         AND procedure.provariadic OPERATOR(pg_catalog.=) 0::pg_catalog.oid AS is_plain,
       procedure.pronargs::pg_catalog.int4 AS takes, procedure.pronargdefaults::pg_catalog.int4 AS defaults,
       ARRAY(SELECT pg_catalog.concat(pg_catalog.quote_ident(home.nspname), '.', pg_catalog.quote_ident(type.typname))
               FROM pg_catalog.unnest(procedure.proargtypes::pg_catalog.oid[]) WITH ORDINALITY AS argument(type, place)
               JOIN pg_catalog.pg_type AS type ON type.oid OPERATOR(pg_catalog.=) argument.type
               JOIN pg_catalog.pg_namespace AS home ON home.oid OPERATOR(pg_catalog.=) type.typnamespace ORDER BY argument.place) AS types,
       ARRAY(SELECT coalesce(base.typname, type.typname)::pg_catalog.text
               FROM pg_catalog.unnest(procedure.proargtypes::pg_catalog.oid[]) WITH ORDINALITY AS argument(type, place)
               JOIN pg_catalog.pg_type AS type ON type.oid OPERATOR(pg_catalog.=) argument.type
               LEFT JOIN pg_catalog.pg_type AS base ON type.typtype OPERATOR(pg_catalog.=) 'd' AND base.oid OPERATOR(pg_catalog.=) type.typbasetype
              ORDER BY argument.place) AS bases
  FROM pg_catalog.pg_proc AS procedure
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) procedure.pronamespace
 WHERE namespace.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.text::pg_catalog.name AND procedure.proname OPERATOR(pg_catalog.=) $2::pg_catalog.text::pg_catalog.name
 ORDER BY procedure.oid
 LIMIT 50

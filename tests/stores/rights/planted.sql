-- What a stranger with CREATE on a schema of the path can put there under the names that statements use: operators for the types
-- of columns, functions with the signatures of the built-in ones and with exact ones for varchar and char, types, tables. Each
-- of them writes a line to the server's log when it is called. {{schema}} is where, {{mark}} what the line begins with.
SET search_path = pg_catalog;
DO $plant$
DECLARE
    types CONSTANT text[] := '{varchar,text,bpchar,name,int4,int8,int2,timestamp,timestamptz,numeric,float8,jsonb,uuid,oid,"\"char\"",bool,_text,_varchar}';
    l text; r text; o text; f record; body text;
BEGIN
    CREATE FUNCTION {{schema}}.called(what text) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE LOG '{{mark}} % as % in %', what, current_user, current_query(); RETURN true; END $$;
    FOREACH l IN ARRAY types LOOP
        FOREACH r IN ARRAY types LOOP
            EXECUTE format('CREATE FUNCTION {{schema}}.op(%s, %s) RETURNS bool LANGUAGE plpgsql AS %L', l, r,
                format('BEGIN RETURN {{schema}}.called(%L); END', l || ' op ' || r));
            FOREACH o IN ARRAY '{=,<>,<,<=,>,>=,~~,!~~,||,->>,-,+,*,/,&}'::text[] LOOP
                EXECUTE format('CREATE OPERATOR {{schema}}.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = {{schema}}.op)', o, l, r);
            END LOOP;
        END LOOP;
    END LOOP;
    FOR f IN SELECT DISTINCT ON (proname, arguments) * FROM (
                SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, format_type(prorettype, NULL) AS result, proretset
                  FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND proname = ANY ('{now,concat,left,right,to_regclass,pg_is_in_recovery,quote_ident,replace,
                       pg_get_userbyid,pg_try_advisory_xact_lock,octet_length,current_setting,has_column_privilege,to_regprocedure,rtrim,btrim,ltrim,pg_postmaster_start_time,
                       make_interval,length,jsonb_typeof,has_table_privilege,strpos,row_security_active,pg_has_role,pg_backend_pid,has_schema_privilege,current_database,
                       to_timestamp,to_regnamespace,string_to_array,set_config,reverse,pg_walfile_name,pg_table_is_visible,pg_current_wal_lsn,pg_advisory_xact_lock,
                       format_type,floor,clock_timestamp,cardinality,array_to_string,timezone,extract,date_part,upper,lower,unnest,varchar,text,bpchar,interval}'::text[])
                UNION ALL
                SELECT proname, replace(pg_get_function_identity_arguments(oid), 'text', own.name), format_type(prorettype, NULL), proretset
                  FROM pg_proc, unnest('{varchar,bpchar}'::text[]) AS own(name)
                 WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND proname = ANY ('{left,right,octet_length,length,rtrim,btrim,ltrim,strpos,reverse,replace,concat,quote_ident}'::text[])) AS named
    LOOP
        BEGIN
            body := format('BEGIN PERFORM {{schema}}.called(%L); RETURN%s; END', f.proname, CASE WHEN f.proretset THEN '' ELSE ' NULL' END);
            EXECUTE format('CREATE FUNCTION {{schema}}.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L', f.proname, f.arguments,
                CASE WHEN f.proretset THEN 'SETOF' END, f.result, body);
        EXCEPTION WHEN OTHERS THEN NULL; -- Signatures that a user can't have.
        END;
    END LOOP;
    FOREACH l IN ARRAY types LOOP
        EXECUTE format('CREATE FUNCTION {{schema}}.step(%1$s, %1$s) RETURNS %1$s LANGUAGE plpgsql AS %2$L', l,
            format('BEGIN PERFORM {{schema}}.called(%L); RETURN $2; END', 'aggregate of ' || l));
        EXECUTE format('CREATE AGGREGATE {{schema}}.max(%1$s) (SFUNC = {{schema}}.step, STYPE = %1$s)', l);
        EXECUTE format('CREATE AGGREGATE {{schema}}.min(%1$s) (SFUNC = {{schema}}.step, STYPE = %1$s)', l);
    END LOOP;
    CREATE FUNCTION {{schema}}.counted(int8) RETURNS int8 LANGUAGE plpgsql AS
        'BEGIN PERFORM {{schema}}.called(''count''); RETURN coalesce($1, 0) + 1; END';
    CREATE AGGREGATE {{schema}}.count(*) (SFUNC = {{schema}}.counted, STYPE = int8);
    FOREACH l IN ARRAY '{text,jsonb,uuid,timestamptz,oid,name,regclass,int4,int8,varchar,bool,interval}'::text[] LOOP
        EXECUTE format('CREATE DOMAIN {{schema}}.%I AS pg_catalog.%1$I CHECK ({{schema}}.called(%2$L))', trim(l, '"'), 'type ' || l);
    END LOOP;
    FOREACH l IN ARRAY '{pg_class,pg_type,pg_index,pg_namespace,pg_trigger,pg_proc,pg_enum,pg_roles,pg_stat_activity,pg_inherits,pg_locks}'::text[] LOOP
        EXECUTE format('CREATE VIEW {{schema}}.%1$I AS SELECT * FROM pg_catalog.%1$I WHERE {{schema}}.called(%2$L)', l, 'table ' || l);
        EXECUTE format('GRANT SELECT ON {{schema}}.%I TO PUBLIC', l);
    END LOOP;
END $plant$;
RESET search_path;

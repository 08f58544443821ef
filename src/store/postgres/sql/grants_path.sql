/* beatwarden: grants path */
-- Returns the search path that a session of a role ($1) in this database begins with, whether the role is there yet or not:
-- the closest of its settings for this database, its own, and the database's; else the path of this session's beginning.
SELECT coalesce((SELECT pg_catalog.substr(setting.text, 13)
                   FROM pg_catalog.pg_db_role_setting AS own CROSS JOIN LATERAL pg_catalog.unnest(own.setconfig) AS setting(text)
                  WHERE setting.text OPERATOR(pg_catalog.~~) 'search\_path=%'
                    AND own.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid,
                        (SELECT role.oid FROM pg_catalog.pg_roles AS role WHERE role.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text)])
                    AND own.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid,
                        (SELECT here.oid FROM pg_catalog.pg_database AS here WHERE here.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())])
                  ORDER BY own.setrole DESC, own.setdatabase DESC LIMIT 1),
                (SELECT setting.reset_val FROM pg_catalog.pg_settings AS setting WHERE setting.name OPERATOR(pg_catalog.=) 'search_path')) AS path

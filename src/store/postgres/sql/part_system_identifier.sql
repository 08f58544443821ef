-- The cluster, from initdb on.
(pg_catalog.pg_control_system()).system_identifier

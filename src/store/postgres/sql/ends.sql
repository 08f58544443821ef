/* beatwarden: ends */
-- Returns one row: both ends of the connection as the server sees them; NULL for a socket file. Reads nothing else.
SELECT pg_catalog.host(pg_catalog.inet_client_addr()) AS client, pg_catalog.inet_client_port() AS client_port,
       pg_catalog.host(pg_catalog.inet_server_addr()) AS server, pg_catalog.inet_server_port() AS server_port

-- Where it listens; NULL for a socket.
pg_catalog.host(pg_catalog.inet_server_addr())

#!/bin/bash
# Runs once, when the database is empty: gives Beatwarden a role of its own. The writer creates its
# table later, at its first run, so the rights are granted for tables that do not exist yet.
set -euo pipefail

# The only place that knows this password is the database URL that Beatwarden reads. The demo's
# password needs no percent-encoding; one of your own that does must be set by hand.
password=$(sed -n 's|^[a-z]*://[^:]*:\([^@]*\)@.*|\1|p' /run/secrets/beatwarden_database_url)
if [[ -z $password ]]; then
    echo "no password found in the secret beatwarden_database_url; expected postgres://user:password@host/database" >&2
    exit 1
fi

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set password="$password" <<'SQL'
CREATE ROLE beatwarden LOGIN PASSWORD :'password';
GRANT USAGE, CREATE ON SCHEMA public TO beatwarden;                -- CREATE is for the ledger
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, UPDATE ON TABLES TO beatwarden;
SQL

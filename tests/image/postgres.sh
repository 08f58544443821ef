#!/bin/bash
# What the tour needs of the official image's entry point: a cluster at the first start, with the user, the database and the
# scripts of the environment, then the server.
set -euo pipefail

if [[ ! -e $PGDATA/PG_VERSION ]]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    # Until the scripts have run, by the socket only.
    pg_ctl --options="-c listen_addresses=''" --wait start >/dev/null
    createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [[ ! -e $script ]] || "$script"
    done
    pg_ctl --mode=fast --wait stop >/dev/null
fi
exec postgres -c listen_addresses='*'

#!/usr/bin/env bash
# Finds or installs what `make bench` measures with and against: PostgreSQL with pg_stat_statements and pgbench, the headers
# of libpq, two exporters that people use today, and wrk. Idempotent, and quick when everything is there.
#
# As root on Debian or Ubuntu it installs what is missing; elsewhere it lists it, with the one command that installs it.
set -euo pipefail

# what | how to see that it is there | Debian package
needs() {
    cat <<'TABLE'
PostgreSQL server, 15 or newer|server_there|postgresql
pg_stat_statements|statements_there|postgresql-contrib
pgbench|command -v pgbench|postgresql
psql|command -v psql|postgresql-client
setpriv|command -v setpriv|util-linux
C compiler|command -v gcc|gcc
headers of C|test -e /usr/include/stdio.h|libc6-dev
Python 3.10 or newer|python3 -c 'import sqlite3, sys; sys.exit(sys.version_info < (3, 10))'|python3
headers of libpq|test -e "$(pg_config --includedir)/libpq-fe.h"|libpq-dev
wrk|command -v wrk|wrk
postgres_exporter|command -v prometheus-postgres-exporter|prometheus-postgres-exporter
sql_exporter|command -v prometheus-sql-exporter|prometheus-sql-exporter
TABLE
}

server_there() { compgen -G '/usr/lib/postgresql/*/bin/initdb' || command -v initdb; }
statements_there() {
    compgen -G '/usr/share/postgresql/*/extension/pg_stat_statements.control' ||
        test -e "$(pg_config --sharedir)/extension/pg_stat_statements.control"
}

missing=() packages=()
look() {
    missing=() packages=()
    local what probe package
    while IFS='|' read -r what probe package; do
        if ! eval "$probe" >/dev/null 2>&1; then
            missing+=("$what")
            [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
        fi
    done < <(needs)
}

look
((${#missing[@]})) || exit 0
printf 'missing: %s\n' "${missing[@]}" >&2
if ! command -v apt-get >/dev/null; then
    echo "install them by your system's means; Debian's packages are: ${packages[*]}" >&2
    exit 1
elif [[ $(id -u) != 0 ]]; then
    echo "install them with: sudo apt-get install -y ${packages[*]}" >&2
    exit 1
fi

# The benchmark makes its own cluster and starts the exporters itself: no service of the system's is wanted.
echo "installing ${packages[*]}"
mkdir -p /etc/postgresql-common
[[ -e /etc/postgresql-common/createcluster.conf ]] ||
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
# Debian asks this file before it starts a service; 101 means no. A machine that has one already has decided.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
apt-get install -q -y --no-install-recommends "${packages[@]}" >/dev/null
look
((${#missing[@]} == 0)) || {
    printf 'still missing: %s\n' "${missing[@]}" >&2
    exit 1
}

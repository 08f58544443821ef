#!/bin/sh
# Checks everything under config/prometheus with promtool: the scrape configuration, the rules and
# their unit tests. Uses $PROMTOOL, else the promtool on the PATH. Does not talk to any server.
set -eu

cd "$(dirname "$0")/.."

promtool=${PROMTOOL:-promtool}
if ! command -v "$promtool" >/dev/null 2>&1; then
    echo "check-prometheus: '$promtool' not found; it comes with Prometheus 2.42 or later." >&2
    echo "On Debian or Ubuntu: apt-get install --yes --no-install-recommends prometheus" >&2
    echo "Elsewhere: unpack a Prometheus release and set PROMTOOL=/path/to/promtool" >&2
    exit 1
fi

"$promtool" check config config/prometheus/prometheus.yml
"$promtool" check rules --lint=all --lint-fatal config/prometheus/*.rules.yml
"$promtool" test rules config/prometheus/tests/*.test.yml

# Alertmanager's own checker comes with Alertmanager.
if command -v amtool >/dev/null 2>&1; then
    amtool check-config config/prometheus/alertmanager.yml
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs examples/demo: an upstream and Weir in front of it, until Ctrl-C. DEMO_PORT, DEMO_UPSTREAM_PORT and
# DEMO_ADMIN_PORT move it away from 8080, 8081 and 9901. It must leave no process behind.

set -uo pipefail
cd "$(dirname "$0")/.."

readonly port=${DEMO_PORT:-8080} upstream_port=${DEMO_UPSTREAM_PORT:-8081} admin_port=${DEMO_ADMIN_PORT:-9901}
config=examples/demo/weir.yaml
if [[ $port != 8080 || $upstream_port != 8081 || $admin_port != 9901 ]]; then
    config=build/demo.yaml
    sed -e "s/port_value: 8080/port_value: $port/" -e "s/port_value: 8081/port_value: $upstream_port/" \
        -e "s/port_value: 9901/port_value: $admin_port/" examples/demo/weir.yaml >"$config"
fi

upstream='' weir=''
stop() {
    trap '' INT TERM
    # Weir first: it drains, and what is still under way needs the upstream.
    [[ -z $weir ]] || { kill -TERM "$weir" && wait "$weir"; } 2>/dev/null
    [[ -z $upstream ]] || { kill -TERM "$upstream" && wait "$upstream"; } 2>/dev/null
}

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# $1 is the port, $2 the process that shall listen on it.
wait_for() {
    local deadline=$((SECONDS + 60))
    until answers "$1"; do
        kill -0 "$2" 2>/dev/null && ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

for taken in "$port" "$upstream_port" "$admin_port"; do
    if answers "$taken"; then
        echo "demo: something listens on port $taken already; set DEMO_PORT, DEMO_UPSTREAM_PORT or DEMO_ADMIN_PORT" >&2
        exit 1
    fi
done

trap 'stop; echo; echo "demo: stopped"; exit 0' INT TERM
trap stop EXIT

python3 examples/demo/upstream.py "$upstream_port" &
upstream=$!
wait_for "$upstream_port" "$upstream" || { echo "demo: the upstream did not start" >&2; exit 1; }

# A group of its own: Ctrl-C reaches this script, which then stops Weir in order.
setsid build/bin/weir -c "$config" -l warning &
weir=$!
wait_for "$port" "$weir" || { echo "demo: weir did not start" >&2; exit 1; }

cat <<EOF

Weir listens on 127.0.0.1:$port; /productpage needs credentials, everything else is open. Try:

  curl -i http://127.0.0.1:$port/productpage                # 401 from the basic-auth plugin
  curl -i -u ok:test http://127.0.0.1:$port/productpage     # 200, and "hello: world" from add-header
  curl -i http://127.0.0.1:$port/                           # 200; the upstream shows the request it got
  curl http://127.0.0.1:$admin_port/plugins                 # what the plugins cost

Ctrl-C stops it.
EOF
wait "$weir"
status=$?
weir=
echo "demo: weir ended with status $status" >&2
exit 1

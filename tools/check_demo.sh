#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs `make demo` on free ports, does what it tells people to do, and stops it as Ctrl-C would.

set -uo pipefail
cd "$(dirname "$0")/.."

# Bound, so that nobody else is given them, until this script and with it the reader's input has ended.
coproc holder {
    exec python3 -c '
import socket, sys
held = [socket.socket() for _ in range(3)]
for s in held:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held), flush=True)
sys.stdin.read()'
}
read -r DEMO_PORT DEMO_UPSTREAM_PORT DEMO_ADMIN_PORT <&"${holder[0]}"
export DEMO_PORT DEMO_UPSTREAM_PORT DEMO_ADMIN_PORT
work=$(mktemp -d)
# Job control, or the shell would let its background jobs ignore SIGINT.
set -m
make --no-print-directory demo >"$work/log" 2>&1 &
demo=$!
set +m
trap 'kill -KILL -- -$demo 2>/dev/null; rm -rf "$work"' EXIT

failed=0
verdict() {
    if (($1 == 0)); then
        echo "ok demo: $2"
    else
        echo "not ok demo: $2"
        tail -n 20 "$work/answer" "$work/log" 2>/dev/null | sed 's/^/    /'
        failed=1
    fi
}
# $1: what, $2: status wanted, $3: a line the answer must have, then arguments for curl.
expect() {
    local name=$1 status=$2 line=$3
    shift 3
    curl -sS -i --max-time 60 "$@" 2>&1 | tr -d '\r' >"$work/answer"
    head -1 "$work/answer" | grep -q "^HTTP/1.1 $status" && grep -qi -- "^$line" "$work/answer"
    verdict $? "$name"
}

deadline=$((SECONDS + 120))
until grep -q 'Ctrl-C stops it' "$work/log"; do
    if ! kill -0 "$demo" 2>/dev/null || ((SECONDS > deadline)); then
        verdict 1 "starts"
        exit 1
    fi
    sleep 0.1
done
echo "ok demo: starts"

front=http://127.0.0.1:$DEMO_PORT
expect "401 without credentials" 401 'www-authenticate:' "$front/productpage"
expect "401 with wrong credentials" 401 'www-authenticate:' -u ok:wrong "$front/productpage"
expect "200 with credentials" 200 'hello: world' -u ok:test "$front/productpage"
expect "200 with base64 credentials" 200 'hello: world' -u admin3:admin3 "$front/productpage"
expect "the upstream sees the plugin's header" 200 'x-seen-by: weir' "$front/"
expect "/plugins names the plugin" 200 '.*basic-auth' "http://127.0.0.1:$DEMO_ADMIN_PORT/plugins"

# Ctrl-C: the whole group gets the signal; make itself must not be taken for the failure it then reports.
kill -INT -- "-$demo"
deadline=$((SECONDS + 120))
while kill -0 "$demo" 2>/dev/null && ((SECONDS < deadline)); do
    sleep 0.1
done
! kill -0 "$demo" 2>/dev/null && grep -q 'demo: stopped' "$work/log"
verdict $? "stops on Ctrl-C"
left=0
for port in "$DEMO_PORT" "$DEMO_UPSTREAM_PORT" "$DEMO_ADMIN_PORT"; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || left=1
done
verdict $left "leaves no process behind"
exit $failed

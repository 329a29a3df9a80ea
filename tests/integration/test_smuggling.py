# SPDX-License-Identifier: Apache-2.0
#
# Request smuggling: the odd requests of support/odd.py go through Weir to real nginx and to real Envoy, over one connection to
# the next hop. What Weir forwards must mean the same to them: each answer carries the request as Weir understood it and as the
# next hop did, and the next hop counts as many requests as Weir sent.

import re
import socket

import pytest

from support import envoy, http1, odd
from support.config import bootstrap, cluster, direct, hcm, listener, route
from support.nginx import Nginx

NGINX = """server {
  listen 127.0.0.1:{port}; large_client_header_buffers 8 64k; client_max_body_size 0; ignore_invalid_headers off;
  location = /count { stub_status; }
  location / { add_header x-next "$request_method $request_uri" always; return 200 "ok"; }
}"""
OURS = "%REQ(:METHOD)% %REQ(:PATH)%"


def added(name, value):
    return {"response_headers_to_add": [{"header": {"key": name, "value": value}, "keep_empty_value": True}]}


class NginxHop:
    def __init__(self, directory):
        self.server = Nginx(directory, NGINX)
        self.port = self.server.port

    def count(self):
        """Requests so far; each call is one itself."""
        text = http1.request(self.port, "GET", "/count").text
        return int(re.search(r"requests\s+(\d+) (\d+) (\d+)", text)[3])

    def stop(self):
        self.server.__exit__()


class EnvoyHop:
    def __init__(self, directory):
        everything = {**direct(200, "ok"), **added("x-next", OURS)}
        fields = {"http_protocol_options": {"allow_absolute_url": True}, "max_request_headers_kb": 96,
                  "common_http_protocol_options": {"max_headers_count": 1000}}
        self.server = envoy.Envoy(directory, bootstrap(listener(hcm([everything], **fields))))
        self.port = self.server.port
        self.asked = 0

    def count(self):
        self.asked += 1  # as nginx counts the question
        return self.server.stats("http.front.downstream_rq_total")["http.front.downstream_rq_total"] + self.asked

    def stop(self):
        self.server.stop()


@pytest.fixture(params=[NginxHop, EnvoyHop], ids=["nginx", "envoy"])
def hop(request, tmp_path):
    server = request.param(tmp_path / "hop")
    yield server
    server.stop()


def exchange(port, data):
    """All that comes back until the connection ends, or nothing comes any more."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        try:
            s.sendall(data + odd.SENTINEL)
            while more := s.recv(65536):
                received += more
        except OSError:
            pass
    return received


def test_the_next_hop_understands_what_weir_understood(start, hop):
    one = {"circuit_breakers": {"thresholds": [{"max_connections": 1}]}}
    config = bootstrap(listener(hcm([{**route(), **added("x-ours", OURS)}])), clusters=[cluster(hop.port, **one)])
    weir = start(config)
    port, before, wrong, seen = weir.port, hop.count(), [], 0
    for name, data in odd.corpus().items():
        for head in re.findall(rb"HTTP/1\.1 \d+ .*?\r\n\r\n", exchange(port, data), re.S):
            ours, next_ = (re.search(rb"\r\n" + key + rb": ([^\r]*)\r\n", head) for key in (b"x-ours", b"x-next"))
            if next_:
                seen += 1
                if not ours or ours[1] != next_[1]:
                    wrong.append((name, head))
    assert not wrong
    assert seen > 300
    # What Weir's own limits refused was never sent, and what proved to be malformed in the same read need not
    # have been; all else was one request there as here.
    begun, reset = (weir.stats(f"cluster.upstream.{name}")[f"cluster.upstream.{name}"]
                    for name in ("upstream_rq_total", "upstream_rq_tx_reset"))
    assert begun - reset <= hop.count() - before - 1 <= begun
    assert http1.request(port, "GET", "/after").get("x-next") == "GET /after"

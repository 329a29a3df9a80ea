# SPDX-License-Identifier: Apache-2.0
"""Request mirroring: what the mirror gets (as from real Envoy), and that it never disturbs the request."""

import contextlib
import threading

import pytest

from support import envoy, http1, http2
from support.config import HTTP2_UPSTREAM, bootstrap, cluster, hcm, listener, route
from support.pages import block, with_ports
from support.process import wait_until
from support.upstream import Upstream, refused_port, respond

INTERNAL = {"use_remote_address": True, "generate_request_id": False,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}}
# The proxies' own addresses, and times.
UNTOLD = {"x-forwarded-for", "x-envoy-expected-rq-timeout-ms"}


class Keeping:
    """Answers 200 and keeps requests."""

    def __init__(self, status="200 OK"):
        self.status = status
        self.requests = []
        self.upstream = Upstream(self.serve)
        self.port = self.upstream.port

    def serve(self, connection):
        while (request := connection.read_request()) is not None:
            self.requests.append(request)
            respond(connection, self.status, body=b"answer" * 10)

    def wait(self, count=1):
        wait_until(lambda: len(self.requests) >= count, f"{count} requests")
        return self.requests

    def shown(self):
        return [(r.start, sorted((k, v) for k, v in r.headers if k not in UNTOLD), r.body, r.trailers) for r in self.requests]


@pytest.fixture
def keeping():
    with contextlib.ExitStack() as stack:
        def make(*arguments):
            one = Keeping(*arguments)
            stack.callback(one.upstream.close)
            return one
        yield make


def config(port, mirror_port, policy=None, action=None, vhost=None, table=None, mirror_fields=None, **fields):
    mirror = {"cluster": "mirror"} if policy is None else policy
    one = route(**(action if action is not None else {"request_mirror_policies": [mirror]}))
    manager = hcm(virtual_hosts=[{"name": "all", "domains": ["*"], "routes": [one], **(vhost or {})}], **INTERNAL, **fields)
    manager["route_config"].update(table or {})
    return bootstrap(listener(manager), clusters=[cluster(port), cluster(mirror_port, name="mirror", **(mirror_fields or {}))])


CASES = {
    "plain": {},
    "a plain host": {"policy": {"cluster": "mirror", "disable_shadow_host_suffix_append": True}},
    "another host": {"policy": {"cluster": "mirror", "host_rewrite_literal": "other"}},
    "by header": {"policy": {"cluster_header": "x-mirror"}},
    "by header that is not there": {"policy": {"cluster_header": "x-none"}},
    "never": {"policy": {"cluster": "mirror", "runtime_fraction": {"default_value": {"numerator": 0}}}},
    "two": {"action": {"request_mirror_policies": [{"cluster": "mirror"}, {"cluster": "mirror"}]}},
    "the virtual host's": {"action": {}, "vhost": {"request_mirror_policies": [{"cluster": "mirror"}]}},
    "the table's": {"action": {}, "table": {"request_mirror_policies": [{"cluster": "mirror"}]}},
    "after the route's changes": {"action": {
        "request_mirror_policies": [{"cluster": "mirror"}], "prefix_rewrite": "/new/", "host_rewrite_literal": "there:80"}},
}
REQUESTS = [("GET", "/a?b=1", [("x-mirror", "mirror")], None), ("POST", "/post", [("x-mirror", "mirror")], "body " * 1000)]


@pytest.mark.parametrize("case", CASES)
def test_as_envoy(start, tmp_path, keeping, case):
    seen = []
    for make in (lambda c: envoy.Envoy(tmp_path / "envoy", c), start):
        main, mirror = keeping(), keeping()
        proxy = make(config(main.port, mirror.port, **CASES[case]))
        try:
            for n, (method, path, headers, body) in enumerate(REQUESTS):
                for host in ("test", "test:8080"):
                    assert http1.request(proxy.port, method, path, headers, body, host=host).text == "answer" * 10
            expected = {"never": 0, "by header that is not there": 0, "two": 8}.get(case, 4)
            mirror.wait(expected)
            wait_until(lambda: proxy.stats("rq_active").get("cluster.mirror.upstream_rq_active") == 0, "the mirrors' end")
            stats = {k: v for k, v in proxy.stats("cluster.mirror.upstream_rq").items()
                     if v and k.endswith(("rq_total", "_200", "_2xx", "_completed", "tx_reset"))}
            seen.append((sorted(mirror.shown()), sorted(main.shown()), stats))
        finally:
            if isinstance(proxy, envoy.Envoy):
                proxy.stop()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("how", ["dead", "silent", "reset", "503"])
def test_a_bad_mirror_is_not_noticed(start, keeping, how):
    over = threading.Event()
    main = keeping()

    def handler(connection):
        connection.read_request()
        if how == "silent":
            over.wait(100)
        elif how == "reset":
            connection.reset()
        else:
            respond(connection, "503 No")

    holder, port = refused_port()
    with holder, Upstream(handler) as bad:
        # The time of both; only one of them may run out.
        timeout = "5s" if how == "silent" else "60s"
        weir = start(config(main.port, port if how == "dead" else bad.port, action={
            "request_mirror_policies": [{"cluster": "mirror"}], "timeout": timeout}))
        for _ in range(5):
            assert http1.request(weir.port, "POST", body="x" * 10000).status == 200
        weir.wait_stat("cluster.mirror.upstream_rq_active", 0)
        weir.wait_stat("cluster.mirror.upstream_rq_5xx", 5)
        assert weir.stats("cluster.upstream.upstream_rq_200")["cluster.upstream.upstream_rq_200"] == 5
        over.set()


def test_a_slow_mirror_is_given_up(start, keeping):
    """A mirror that does not read: the request is not held back, memory stays within the limit."""
    over = threading.Event()
    main = keeping()

    def handler(connection):
        connection.read_head()
        over.wait(100)

    with Upstream(handler) as slow:
        weir = start(config(main.port, slow.port, action={"request_mirror_policies": [{"cluster": "mirror"}], "timeout": "100s"}))
        assert http1.request(weir.port, "POST", body="x" * (30 << 20)).status == 200
        assert len(main.requests[0].body) == 30 << 20
        weir.wait_stat("cluster.upstream.retry_or_shadow_abandoned", 1)
        weir.wait_stat("cluster.mirror.upstream_rq_active", 0)
        over.set()


def test_a_request_that_is_never_whole(start, keeping):
    """The client leaves in the middle of its body: so does the mirror."""
    main, cut = keeping(), threading.Event()

    def handler(connection):
        connection.read_head()
        connection.read_exactly(5)
        try:
            connection.read_exactly(1)
        except (EOFError, OSError):
            cut.set()

    with Upstream(handler) as mirror:
        weir = start(config(main.port, mirror.port))
        with http1.Client(weir.port) as client:
            client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
            weir.wait_stat("cluster.mirror.upstream_rq_active", 1)
        assert cut.wait(30)
        weir.wait_stat("cluster.mirror.upstream_rq_active", 0)


def test_many_at_once_over_http2(start, keeping):
    main, mirror = keeping(), keeping("503 No")
    back = start(config(mirror.port, 1, action={}))
    weir = start(config(main.port, back.port, mirror_fields=HTTP2_UPSTREAM))
    with http2.Client(weir.port) as client:
        streams = [client.open() for _ in range(50)]
        done = set()
        client.read_until(lambda f: f.flags & 1 and f.type in (0, 1) and (done.add(f.stream) or len(done) == len(streams)))
    assert {r.get("host") for r in mirror.wait(50)} == {"test-shadow"}
    weir.wait_stat("cluster.mirror.upstream_rq_503", 50)


def test_the_proxy_ends_while_mirrors_wait(start, keeping):
    over = threading.Event()
    main = keeping()
    with Upstream(lambda c: (c.read_request(), over.wait(100))) as silent:
        weir = start(config(main.port, silent.port))
        for _ in range(3):
            assert http1.request(weir.port).status == 200
        weir.wait_stat("cluster.mirror.upstream_rq_active", 3)
        weir.stop()
        over.set()


def test_the_manual(start, keeping):
    main, mirror = keeping(), keeping()
    weir = start(with_ports(block("mirroring.md", "# mirroring\n"), {8080: main.port, 8081: mirror.port, 10000: 0}))
    assert http1.request(weir.port, host="shop:8080").status == 200
    assert mirror.wait()[0].get("host") == "shop-shadow:8080"

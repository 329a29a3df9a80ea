# SPDX-License-Identifier: Apache-2.0
"""ORIGINAL_DST clusters: requests and TCP connections go where a header or the connection's first destination says; hosts come and
go with their connections; beside real Envoy."""

import re

import pytest

from support import http1
from support.config import ANY, address, bootstrap, cluster, hcm, listener, route
from support.envoy import Envoy
from support.listeners import proxy_protocol
from support.process import Weir, validate, wait_until
from support.tcp import Client, listener as tcp_listener, stdout_log, tcp_proxy
from support.upstream import Upstream, echo, refused_port

LOG = stdout_log("LOG %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% end")
HEADER = "x-envoy-original-dst-host"


def destinations(name, header=None, port=None, **fields):
    lb = {**({"use_http_header": True, "http_header_name": header} if header is not None else {}),
          **({"upstream_port_override": port} if port is not None else {})}
    return {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "10s",
            "cleanup_interval": "600s", "common_lb_config": {"update_merge_window": "0s"}, **({"original_dst_lb_config": lb} if lb else {}), **fields}


def said(destination, source="1.2.3.4"):
    """A PROXY header: what a balancer in front, or a firewall's REDIRECT, would have told."""
    ip, port = destination
    return f"PROXY TCP4 {source} {ip} 1000 {port}\r\n".encode()


def settings(upstream_port):
    inspect = {"listener_filters": [proxy_protocol(allow_requests_without_proxy_protocol=True)]}
    retry = {"retry_policy": {"retry_on": "connect-failure", "num_retries": 2,
                              "retry_back_off": {"base_interval": "0.001s"}}}
    mirrored = {"request_mirror_policies": [{"cluster": "named"}]}
    front = hcm([route("/plain", "plain"), route("/port", "port"), route("/mine", "mine"), route("/short", "short"),
                 route("/retry", "named", **retry), route("/bare", "named"), route("/mirror", "static", **mirrored),
                 route("/", "named", auto_host_rewrite=True)], access_log=[LOG])
    passed = {"transport_socket": {"name": "proxy", "typed_config": {
        "@type": ANY + "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": "V1"}, "transport_socket": {"name": "raw", "typed_config": {
            "@type": ANY + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}}}
    return bootstrap(
        listener(front, **inspect),
        tcp_listener(tcp_proxy("tcp", stat_prefix="tcp", access_log=[LOG]), name="tcp", **inspect),
        tcp_listener(tcp_proxy("told", stat_prefix="told"), name="told", **inspect),
        clusters=[destinations("plain"), destinations("named", ""), destinations("mine", "X-To"),
                  destinations("port", "", upstream_port), destinations("tcp"), destinations("told", **passed),
                  destinations("short", "", cleanup_interval="0.05s"), cluster(upstream_port, name="static")])


class Site:
    """An upstream that is wanted, and a port that nobody serves."""

    def __init__(self):
        self.upstream = Upstream(echo)
        self.refused, self.refused_port = refused_port()
        self.port = self.upstream.port
        self.here = f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.refused.close()
        self.upstream.close()


@pytest.fixture
def site():
    with Site() as s:
        yield s


def ask(proxy, path="/", to=None, told=b"", headers=()):
    """The answer's status and text. The connection stays one request long."""
    headers = [*([(HEADER, to)] if to is not None else []), *headers, ("connection", "close")]
    with http1.Client(proxy.listener_port("front")) as client:
        client.send(told + http1.format_request("GET", path, headers=headers, host="asked"))
        answer = client.response()
    return answer.status, answer.text


def cases(site):
    """Name: (path, header, PROXY header, status)."""
    told = said(("127.0.0.1", site.port))
    wrong = ["junk", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:80", "[::1]", "", ":80", "[]:80",
             "[127.0.0.1]:80", "127.0.0.1:80 x", "127.0.0.1:-1", "[::1:80", "1.2.3:80", "/unix", "@abstract:1"]
    return {
        "nowhere": ("/", None, b"", 503), "nowhere, plain": ("/plain", None, b"", 503),
        "header": ("/", site.here, b"", 200), "told": ("/", None, told, 200), "told, plain": ("/plain", None, told, 200),
        "header first": ("/", f"127.0.0.1:{site.refused_port}", told, 503), "not asked for": ("/plain", site.here, b"", 503),
        "wrong, but told": ("/", "junk", told, 200), "mapped": ("/bare", f"[::ffff:127.0.0.1]:{site.port}", b"", 200),
        "port": ("/port", "127.0.0.1:9", b"", 200), "port, told": ("/port", None, said(("127.0.0.1", 9)), 200),
        "nobody serves": ("/", f"127.0.0.1:{site.refused_port}", b"", 503),
        "again": ("/retry", f"127.0.0.1:{site.refused_port}", b"", 503),
        **{f"wrong {text!r}": ("/", text, b"", 503) for text in wrong}}


def hosts_of(proxy, name):
    """What /clusters says of each host."""
    lines = re.findall(rf"^{name}::([^:]*:[0-9]+|\[.*?\]:[0-9]+)::(.*)::(.*)$", proxy.admin("/clusters").text, re.M)
    return {f"{address} {field}": value for address, field, value in lines if "success_rate" not in field}


COUNTED = ("membership_total", "membership_healthy", "original_dst_host_invalid", "upstream_cx_none_healthy",
           "upstream_cx_total", "upstream_cx_connect_fail", "upstream_rq_total", "upstream_rq_200", "upstream_rq_503",
           "upstream_rq_retry", "upstream_rq_pending_failure_eject")


def counted(proxy, name):
    stats = proxy.stats(rf"cluster.{name}.")
    return {key: stats.get(f"cluster.{name}.{key}", 0) for key in COUNTED}


def drive(proxy, site):
    """All that a proxy makes of the cases, without what differs from run to run."""
    out = {}
    for name, (path, header, told, status) in cases(site).items():
        got, text = ask(proxy, path, header, told)
        assert got == status, (name, text)
        out[name] = got, text if got == 503 else re.findall(r"(?m)^host: .*|^x-envoy-original-dst-host: .*", text)
    lines = wait_until(lambda: len(found := re.findall("^LOG.* end$", proxy.log(), re.M)) == len(out) and found, "log lines")
    for name, line in zip(out, lines):  # without the words of a failure
        out[name] += (re.sub("{.*}", "", line),)
    for cluster_name, total in (("named", 3), ("plain", 1), ("port", 1), ("mine", 0)):
        proxy.wait_stat(f"cluster.{cluster_name}.membership_total", total)
        out[f"of {cluster_name}"] = counted(proxy, cluster_name), hosts_of(proxy, cluster_name)
    return out


def test_where_requests_go(start, site):
    weir = start(settings(site.port))
    got = drive(weir, site)
    assert got["nowhere"] == (503, "no healthy upstream", "LOG 503 UH no_healthy_upstream - named end")
    assert got["told"] == (200, [f"host: named{site.here}"], f"LOG 200 - via_upstream {site.here} named end")
    assert got["header"][1] == [f"host: named{site.here}", f"{HEADER}: {site.here}"]
    assert got["port"][2] == f"LOG 200 - via_upstream {site.here} port end"
    stats, hosts = got["of named"]
    assert stats["original_dst_host_invalid"] == stats["upstream_cx_none_healthy"] == 18
    assert hosts[f"{site.here} hostname"] == f"named{site.here}"
    assert hosts[f"{site.here} cx_active"] == "1" and hosts[f"{site.here} rq_success"] == "3"
    assert got["of named"][0]["upstream_rq_retry"] == 2
    assert ask(weir, "/mine", headers=[("x-to", site.here)])[0] == 200
    assert ask(weir, "/mine", to=site.here)[0] == 503
    # The first field of that name counts, however many there are.
    assert ask(weir, to=site.here, headers=[(HEADER, "junk")])[0] == 200


def test_as_envoy(tmp_path, site):
    with Envoy(tmp_path / "envoy", settings(site.port)) as envoy:
        theirs = drive(envoy, site)
    with Weir(tmp_path / "weir", settings(site.port)) as weir:
        ours = drive(weir, site)
    for name, outcome in theirs.items():
        assert ours[name] == outcome, name


def test_tcp(start, site):
    weir = start(settings(site.port))
    with Client(weir.listener_port("tcp")) as client:
        client.send(said(("127.0.0.1", site.port)) + b"GET /tcp HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read(15) == b"HTTP/1.1 200 OK"
        weir.wait_stat("cluster.tcp.membership_total", 1)
        assert hosts_of(weir, "tcp")[f"{site.here} cx_active"] == "1"
    with Client(weir.listener_port("tcp")) as client:  # it wanted to come here
        client.send(b"hello")
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read(1)
    weir.wait_log(r"LOG 0 UH - - tcp end")
    weir.wait_stat("cluster.tcp.upstream_cx_none_healthy", 1)


def test_what_is_below_the_host(start):
    """The cluster's transport socket holds for every host."""
    seen = []

    def lines(connection):
        seen.append(connection.read_until(b"\n"))
        connection.send(b"x")
    with Upstream(lines) as upstream:
        weir = start(settings(upstream.port))
        with Client(weir.listener_port("told")) as client:
            client.send(said(("127.0.0.1", upstream.port)))
            assert client.read(1) == b"x"
        assert seen == [said(("127.0.0.1", upstream.port))]


def test_mirrors_follow_the_header(start, site):
    with Upstream(echo) as shadow:
        weir = start(settings(site.port))
        assert ask(weir, "/mirror", to=f"127.0.0.1:{shadow.port}")[0] == 200
        weir.wait_stat("cluster.named.upstream_rq_200", 1)
        assert shadow.connections == 1
        assert ask(weir, "/mirror")[0] == 200
        weir.wait_stat("cluster.named.upstream_cx_none_healthy", 1)


def test_hosts_without_connections_go(start, site):
    """One that keeps its connection stays, with it, while others come and go."""
    def once(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    with Upstream(once) as other:
        weir = start(settings(site.port), concurrency=2)
        with http1.Client(weir.listener_port("front")) as client:
            assert client.request("GET", "/short", headers=[(HEADER, site.here)]).status == 200
            for _ in range(3):
                changes = weir.stats("cluster.short.membership_change")["cluster.short.membership_change"]
                assert ask(weir, "/short", to=f"127.0.0.1:{other.port}")[0] == 200
                wait_until(lambda: weir.stats("cluster.short.membership_change")
                           ["cluster.short.membership_change"] > changes, "a change")
                weir.wait_stat("cluster.short.membership_total", 1)
                assert f"{site.here} hostname" in hosts_of(weir, "short")
            assert client.request("GET", "/short", headers=[(HEADER, site.here)]).status == 200
            assert site.upstream.connections == 1
    site.upstream.close()  # now its connection goes too
    weir.wait_stat("cluster.short.membership_total", 0)
    assert hosts_of(weir, "short") == {}


def watched(proxy, bad_port, cases):
    """What is seen of a host that fails, by outlier detection and by checks; requests go there all the same."""
    place = f"127.0.0.1:{bad_port}"
    for _ in range(3):
        assert [ask(proxy, f"/{name}", to=place)[0] for name in cases] == [500, 500]
    for name in cases:
        proxy.wait_stat(f"cluster.{name}.membership_healthy", 0)
        proxy.wait_stat(f"cluster.{name}.membership_total", 1)
    assert [ask(proxy, f"/{name}", to=place)[0] for name in cases] == [500, 500]
    return [hosts_of(proxy, name)[f"{place} health_flags"] for name in cases], proxy.stats("cluster.ejected.outlier_detection")[
        "cluster.ejected.outlier_detection.ejections_active"]


def failing(connection):
    while connection.read_request():
        connection.send(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")


def with_watchers():
    detection = {"consecutive_5xx": 2, "interval": "600s", "base_ejection_time": "600s", "max_ejection_percent": 100}
    check = {"timeout": "5s", "interval": "0.05s", "no_traffic_interval": "0.05s", "unhealthy_threshold": 1, "healthy_threshold": 1,
             "http_health_check": {"path": "/"}}
    return bootstrap(listener(hcm([route("/ejected", "ejected"), route("/checked", "checked")])), clusters=[
        destinations("ejected", "", outlier_detection=detection), destinations("checked", "", health_checks=[check])])


def test_hosts_that_fail(start):
    with Upstream(failing) as bad:
        assert watched(start(with_watchers()), bad.port, ("ejected", "checked")) == (["/failed_outlier_check", "/failed_active_hc"], 1)


def test_hosts_that_fail_as_envoy(tmp_path):
    with Upstream(failing) as bad, Envoy(tmp_path / "envoy", with_watchers()) as envoy:
        assert watched(envoy, bad.port, ("ejected", "checked")) == (["/failed_outlier_check", "/failed_active_hc"], 1)


ENDPOINTS = {"cluster_name": "named", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(1)}}]}]}


@pytest.mark.parametrize("fields, error", [
    ({"lb_policy": "ROUND_ROBIN"}, "lb_policy: must be CLUSTER_PROVIDED"),
    ({"type": "STATIC", "load_assignment": ENDPOINTS}, "lb_policy: CLUSTER_PROVIDED needs a cluster that provides one"),
    ({"load_assignment": ENDPOINTS}, "load_assignment: hosts of an ORIGINAL_DST cluster come from requests"),
    ({"original_dst_lb_config": {"http_header_name": "x"}}, "http_header_name: needs use_http_header"),
    ({"original_dst_lb_config": {"upstream_port_override": 65536}}, "upstream_port_override: must be at most 65535"),
    ({"original_dst_lb_config": {"metadata_key": {"key": "a", "path": [{"key": "b"}]}}}, "metadata_key: is refused"),
    ({"lb_subset_config": {"subset_selectors": [{"keys": ["a"]}]}}, "lb_subset_config: cannot be combined with CLUSTER_PROVIDED"),
    ({"cleanup_interval": "0s"}, "cleanup_interval: must be more than 0s"),
])
def test_refused(tmp_path, fields, error):
    done = validate(tmp_path, bootstrap(listener(hcm([route("/", "named")])), clusters=[{**destinations("named"), **fields}]))
    assert done.returncode != 0
    assert f"static_resources.clusters[0].{error.split(':')[0]}" in done.stderr or error.split(":")[0] in done.stderr
    assert error.split(": ", 1)[1] in done.stderr, done.stderr


def test_the_extensions_name(tmp_path):
    named = {**destinations("named"), "cluster_type": {"name": "envoy.cluster.original_dst"}}
    del named["type"]
    done = validate(tmp_path, bootstrap(listener(hcm([route("/", "named")])), clusters=[named]))
    assert done.returncode == 0, done.stderr

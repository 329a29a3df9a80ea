# SPDX-License-Identifier: Apache-2.0
"""The admin interface: Envoy's pages and names."""

import json
import os
import re

import pytest

from support import http1
from support.config import simple, wasm
from support.process import wait_until

pytestmark = pytest.mark.tsan

GET = ["/", "/clusters", "/config_dump", "/help", "/listeners", "/memory", "/plugins", "/ready", "/server_info", "/stats",
       "/stats/prometheus"]
POST = ["/logging", "/healthcheck/ok", "/reset_counters", "/reopen_logs", "/drain_listeners", "/healthcheck/fail",
        "/quitquitquit"]


def test_every_page(start, upstream):
    weir = start(simple(upstream().port, filters=[wasm("trivial")]), concurrency=2)
    http1.request(weir.port)
    for path in GET:
        response = weir.admin(path)
        assert response.status == 200 and response.body, path
        assert weir.admin(path, "HEAD").status == 200
    for path in POST:
        response = weir.admin(path)
        assert (response.status, response.get("allow")) == (405, "POST"), path
    assert weir.admin("/nothing").status == 404
    help_text = weir.admin("/help").text
    for path in GET + POST:
        assert f"  {path}" in help_text


def test_ready_and_server_info(start):
    weir = start(simple())
    assert weir.admin("/ready").text == "LIVE\n"
    info = json.loads(weir.admin("/server_info").body)
    assert info["state"] == "LIVE"
    assert info["version"].startswith("weir/")
    assert weir.admin("/healthcheck/fail", "POST").text == "OK\n"
    assert weir.admin("/ready").status == 503
    # Clients are told to go elsewhere, as in Envoy.
    assert http1.request(weir.port).get("connection") == "close"
    weir.admin("/healthcheck/ok", "POST")
    assert weir.admin("/ready").status == 200
    assert http1.request(weir.port).get("connection") is None


def test_stats_forms(start, upstream):
    weir = start(simple(upstream().port))
    for _ in range(3):
        http1.request(weir.port)
    weir.wait_stat("http.front.downstream_rq_2xx", 3)
    text = weir.admin("/stats").text
    assert "cluster.upstream.upstream_rq_total: 3\n" in text
    assert re.search(r"cluster\.upstream\.upstream_rq_time: P0\(nan,", text)
    assert "listener.127.0.0.1_" in text
    values = json.loads(weir.admin("/stats?format=json&filter=upstream_rq_2xx").body)["stats"]
    assert {"name": "cluster.upstream.upstream_rq_2xx", "value": 3} in values
    used = weir.admin("/stats?usedonly&filter=upstream").text
    assert "upstream_rq_total" in used and "upstream_cx_connect_fail" not in used
    assert weir.admin("/stats?filter=(").status == 400
    assert weir.admin("/stats?format=xml").status == 400
    weir.admin("/reset_counters", "POST")
    assert weir.stats("upstream_rq_total")["cluster.upstream.upstream_rq_total"] == 0


def test_prometheus(start, upstream):
    weir = start(simple(upstream().port))
    http1.request(weir.port)
    weir.wait_stat("http.front.downstream_rq_2xx", 1)
    text = weir.admin("/stats/prometheus").text
    assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="upstream"} 1\n' in text
    assert ('envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="front",envoy_response_code_class="2"} 1\n'
            in text)
    assert 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="upstream",le="+Inf"} 1\n' in text
    assert text.count("# TYPE envoy_cluster_upstream_rq_total counter\n") == 1
    for line in text.splitlines():
        assert re.fullmatch(r"# TYPE \w+ (counter|gauge|histogram)|[a-zA-Z_:][\w:]*\{[^\n]*\} -?[\d.]+", line), line


def test_config_dump(start, upstream):
    config = simple(upstream().port, filters=[wasm("trivial")])
    weir = start(config, policy=False)
    configs = json.loads(weir.admin("/config_dump").body)["configs"]
    kinds = [c["@type"].rsplit(".", 1)[1] for c in configs]
    assert kinds == ["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"]
    assert configs[1]["static_clusters"][0]["cluster"]["name"] == "upstream"
    assert configs[2]["static_listeners"][0]["listener"]["name"] == "front"
    assert configs[3]["static_route_configs"][0]["route_config"]["virtual_hosts"][0]["name"] == "all"


def test_clusters(start, upstream):
    up = upstream()
    weir = start(simple(up.port))
    http1.request(weir.port)
    text = weir.admin("/clusters").text
    assert "upstream::default_priority::max_connections::1024\n" in text
    wait_until(lambda: f"upstream::127.0.0.1:{up.port}::rq_total::1\n" in weir.admin("/clusters").text, "rq_total")
    assert f"upstream::127.0.0.1:{up.port}::health_flags::healthy\n" in text


def test_logging_levels(start):
    weir = start(simple())
    assert "  wasm: info\n" in weir.admin("/logging", "POST").text
    assert "  wasm: trace\n" in weir.admin("/logging?wasm=trace", "POST").text
    text = weir.admin("/logging?paths=http:debug,router:error", "POST").text
    assert "  http: debug\n" in text and "  router: error\n" in text
    assert set(re.findall(r": (\w+)", weir.admin("/logging?level=warning", "POST").text)) == {"warning"}
    assert weir.admin("/logging?level=loud", "POST").status == 400
    assert weir.admin("/logging?nobody=debug", "POST").status == 404


def test_quit(start):
    weir = start(simple())
    assert weir.admin("/quitquitquit", "POST").text == "OK\n"
    assert weir.wait() == 0


def test_drain_listeners_leaves_the_process(start):
    weir = start(simple())
    port = weir.port
    weir.admin("/drain_listeners", "POST")

    def refused():
        try:
            http1.request(port)
            return False
        except (OSError, http1.Closed):
            return True
    wait_until(refused, "the listener to close")
    assert weir.admin("/ready").status == 200


def test_pipelined_requests_do_not_pile_up_answers(start):
    """64 KiB of requests ask for tens of megabytes; each is answered, but only as fast as the client reads."""
    # What AddressSanitizer keeps of freed memory would hide the difference.
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    weir = start(simple(), env={"ASAN_OPTIONS": options})
    assert len(weir.admin("/stats/prometheus").body) > 8000
    before = weir.rss_bytes()
    with http1.Client(weir.admin_port) as client:
        client.send(b"".join(http1.format_request(path="/stats/prometheus") for _ in range(1200)))
        for _ in range(10):
            assert weir.admin("/ready").status == 200
        assert weir.rss_bytes() - before < 16 << 20
        assert [client.response().status for _ in range(1200)] == [200] * 1200


def test_pipelined_and_many(start):
    weir = start(simple())
    with http1.Client(weir.admin_port) as client:
        client.send(b"".join(http1.format_request(path="/ready") for _ in range(20)))
        assert [client.response().text for _ in range(20)] == ["LIVE\n"] * 20
    with http1.Client(weir.admin_port) as client:
        client.send("GARBAGE\r\n\r\n")
        client.read_to_end()
    assert weir.admin("/ready").status == 200


def test_silent_connections_do_not_lock_the_operator_out(start):
    weir = start(simple())
    silent = [http1.Client(weir.admin_port) for _ in range(400)]
    try:
        assert weir.admin("/ready").status == 200
    finally:
        for client in silent:
            client.close()
    assert weir.admin("/ready").status == 200

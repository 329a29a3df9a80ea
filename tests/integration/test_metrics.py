# SPDX-License-Identifier: Apache-2.0
"""Plugins' metrics on the pages of the admin interface, with tags by expressions as Istio writes them."""

import re

import pytest

from support import http1
from support.config import direct, simple, wasm
from support.plugins import RUNTIMES
from support.process import validate

pytestmark = pytest.mark.tsan

# As in Istio's bootstrap, with separators that the probe can write.
TAGS = [{"tag_name": "source_workload", "regex": r"(sw=\.=(.*?)!\.!)"}, {"tag_name": "reporter", "regex": r"(reporter=\.=(.*?)!\.!)"},
        {"tag_name": "wasm_filter", "regex": r"(wasm_filter\.(.*?)\.)"}, {"tag_name": "one", "regex": "_(one)"},
        {"tag_name": "no-group", "regex": "istio"}, {"tag_name": "fixed.tag", "fixed_value": 'y"es'}]
METRICS = ["metric_define 0 reporter=.=source!.!sw=.=a-b!.!istio_requests_total", "metric_add 4 3",
           "metric_define 1 wasm_filter.my.gauge_one", "metric_record 5 7", "metric_define 2 sw=.=h!.!latency_ms",
           "metric_record 6 3", "metric_record 6 250", "metric_define 0 plain.counter-x", "metric_add 8 1",
           "metric_define 0 cluster.foo.upstream_rq_200", "metric_add 12 2", "metric_define 2 nothing_recorded"]


def serve(start, runtime, workers=1, **stats_config):
    weir = start({**simple(routes=[direct()], filters=[wasm("probe", runtime=runtime)]), "stats_config": stats_config},
                 concurrency=workers)
    for _ in range(2 * workers):
        http1.request(weir.port, headers=[("x-probe", "; ".join(METRICS))])
    return weir


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tags_become_labels(start, runtime):
    weir = serve(start, runtime, stats_tags=TAGS)
    lines = weir.admin("/stats/prometheus").text.splitlines()
    fixed = 'fixed_tag="y\\"es"'
    for line in (f'istio_requests_total{{source_workload="a-b",reporter="source",{fixed}}} 6',
                 f'gauge_{{wasm_filter="my",one="one",{fixed}}} 7', f"plain_counter_x{{{fixed}}} 2",
                 f'latency_ms_bucket{{source_workload="h",{fixed},le="5"}} 2',
                 f'latency_ms_count{{source_workload="h",{fixed}}} 4', f'latency_ms_sum{{source_workload="h",{fixed}}} 506',
                 f'cluster_foo_upstream_rq{{{fixed},envoy_response_code="200"}} 4',
                 f'envoy_http_downstream_rq_total{{{fixed},envoy_http_conn_manager_prefix="front"}} 2',
                 "# TYPE istio_requests_total counter", "# TYPE gauge_ gauge",
                 "# TYPE latency_ms histogram"):
        assert line in lines, "\n".join(x for x in lines if "envoy_" not in x)
    # /stats shows names as they are.
    text = weir.admin("/stats").text.splitlines()
    assert "wasmcustom.reporter=.=source!.!sw=.=a-b!.!istio_requests_total: 6" in text
    assert "wasmcustom.nothing_recorded: No recorded values" in text
    assert any(line.startswith("wasmcustom.sw=.=h!.!latency_ms: P0(") for line in text)


def test_without_default_tags(start):
    lines = serve(start, RUNTIMES[0], use_all_default_tags=False).admin("/stats/prometheus").text
    assert "envoy_http_front_downstream_rq_total{} 2" in lines and "cluster_foo_upstream_rq_200{} 4" in lines


def test_labels_stay_well_formed_whatever_a_name_holds(start):
    """Quotes, backslashes and bytes that are no UTF-8, and a name of which nothing is left."""
    tags = [{"tag_name": "t", "regex": "(t=(.*?)!)"}, *({"tag_name": f"fixed{n}", "fixed_value": "v" * 200} for n in range(100))]
    weir = start({**simple(routes=[direct()], filters=[wasm("probe")]), "stats_config": {"stats_tags": tags}})
    with http1.Client(weir.port) as client:
        client.send(b'GET / HTTP/1.1\r\nhost: h\r\nx-probe: metric_define 0 a.t="\\\xc3\xa9!; metric_define 0 t=x!; '
                    b'metric_define 0 b\xff.t=y!\r\n\r\n')
        assert client.response().get("x-probe-1") == "0 4"
    lines = weir.admin("/stats/prometheus").body.decode().splitlines()
    assert [line for line in lines if line.startswith("a_{")][0].startswith('a_{t="\\"\\\\\u00e9",fixed0="vvv')
    assert [line for line in lines if line.startswith('_{t="x",')] and [line for line in lines if line.startswith('b__{t="y"')]
    assert all(line.startswith("# TYPE ") or re.search(r"} -?[0-9.e+-]+$", line) for line in lines)


def test_metrics_are_one_for_all_workers_and_plugins(start):
    weir = serve(start, RUNTIMES[0], workers=2)
    assert weir.stats("plain")["wasmcustom.plain.counter-x"] == 4


@pytest.mark.parametrize("tag, message", [({"tag_name": "x"}, "No regex specified for tag specifier"),
                                          ({"tag_name": "x", "regex": "("}, "regex"),
                                          ({"tag_name": "x", "regexp": "(a)"}, "regexp")])
def test_wrong_tags_are_refused(tmp_path, tag, message):
    done = validate(tmp_path, {**simple(), "stats_config": {"stats_tags": [tag]}})
    assert done.returncode != 0 and message in done.stdout + done.stderr

# SPDX-License-Identifier: Apache-2.0
"""The filter that answers health checks of the proxy itself."""


import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, simple
from support.process import validate, wait_until
from support.upstream import refused_port, respond

LOG = {"name": "log", "filter": {"not_health_check_filter": {}}, "typed_config": {
    "@type": ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/stdout",
    "log_format": {"text_format_source": {"inline_string": "SEEN %REQ(:PATH)% %RESPONSE_FLAGS%\n"}}}}


def health(**fields):
    return {"name": "hc", "typed_config": {
        "@type": ANY + "envoy.extensions.filters.http.health_check.v3.HealthCheck", "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}], **fields}}


def config(*ports, filters, **cluster_fields):
    made = bootstrap(listener(hcm(filters=filters, access_log=[LOG])), clusters=[cluster(*ports, **cluster_fields)])
    made["node"] = {"id": "one", "cluster": "shop"}
    return made


def check(weir, path="/healthz", **more):
    return http1.request(weir.port, path=path, **more)


def test_it_answers_for_the_proxy(start, recording):
    weir = start(config(recording.port, filters=[health()]))
    answer = check(weir)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.get("x-envoy-upstream-healthchecked-cluster") == "shop"
    assert check(weir, method="POST", body=b"x" * 1000).status == 200
    assert check(weir, "/other").status == 200
    assert len(recording.requests) == 1
    weir.admin("/healthcheck/fail", "POST")
    answer = check(weir)
    assert answer.status == 503
    assert answer.get("x-envoy-immediate-health-check-fail") == "true"
    other = check(weir, "/other")
    assert (other.status, other.get("x-envoy-immediate-health-check-fail")) == (200, "true")
    weir.admin("/healthcheck/ok", "POST")
    answer = check(weir)
    assert (answer.status, answer.get("x-envoy-immediate-health-check-fail")) == (200, None)
    stats = weir.stats("http.front.health_check")
    assert (stats["http.front.health_check.request_total"], stats["http.front.health_check.ok"],
            stats["http.front.health_check.failed"]) == (4, 3, 1)
    assert set(weir.wait_log(r"SEEN (\S+)", 2)) == {"/other"}  # checks are not logged


def test_it_passes_checks_through(start, upstream):
    state = {"status": "200 OK", "asked": 0}

    def serve(connection):
        while connection.read_request() is not None:
            state["asked"] += 1
            respond(connection, state["status"], [("x-envoy-degraded", "1")])

    weir = start(config(upstream(serve).port, filters=[health(pass_through_mode=True)]))
    answer = check(weir)
    assert (answer.status, answer.get("x-envoy-upstream-healthchecked-cluster")) == (200, "shop")
    state["status"] = "404 Gone"
    assert check(weir).status == 404
    assert state["asked"] == 2
    weir.admin("/healthcheck/fail", "POST")
    assert check(weir).status == 503
    assert state["asked"] == 2


@pytest.mark.tsan
def test_it_remembers_an_answer(start, upstream):
    asked = []

    def serve(connection):
        while connection.read_request() is not None:
            asked.append(1)
            respond(connection, "299 Fine", [("x-envoy-degraded", "1")])

    weir = start(config(upstream(serve).port, filters=[health(pass_through_mode=True, cache_time="600s")]), concurrency=2)
    assert check(weir).status == 299
    for _ in range(5):
        answer = check(weir)
        assert (answer.status, answer.get("x-envoy-degraded")) == (299, "")
    assert len(asked) == 1
    assert weir.stats("cached_response")["http.front.health_check.cached_response"] == 5
    weir.stop()


def test_it_forgets_it_again(start, upstream):
    asked = []

    def serve(connection):
        while connection.read_request() is not None:
            asked.append(1)
            respond(connection)

    weir = start(config(upstream(serve).port, filters=[health(pass_through_mode=True, cache_time="0.1s")]))
    wait_until(lambda: check(weir).status == 200 and len(asked) >= 3, "it asks again")


def test_it_looks_at_clusters(start, upstream, recording):
    checks = [{"timeout": "5s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_threshold": 1,
               "healthy_threshold": 1, "tcp_health_check": {}}]
    holder, dead = refused_port()
    with holder:
        made = config(recording.port, dead, filters=[health(cluster_min_healthy_percentages={"upstream": {"value": 50}})],
                      health_checks=checks)
        weir = start(made)
        assert check(weir).status == 200
        made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0] = \
            health(cluster_min_healthy_percentages={"upstream": {"value": 51}})
        weir = start(made)
        assert check(weir).status == 503
        stats = weir.stats("failed_cluster")
        assert stats["http.front.health_check.failed_cluster_unhealthy"] == 1
    made = config(filters=[health(cluster_min_healthy_percentages={"upstream": {"value": 1}})])
    assert check(start(made)).status == 503
    made = config(filters=[health(cluster_min_healthy_percentages={"nobody": {"value": 1}})])
    weir = start(made)
    assert check(weir).status == 503
    assert weir.stats("not_found")["http.front.health_check.failed_cluster_not_found"] == 1


@pytest.mark.parametrize("fields, error", [
    ({"cache_time": "1s"}, "has a meaning only with pass_through_mode"),
    ({"pass_through_mode": True, "cluster_min_healthy_percentages": {"upstream": {"value": 1}}},
     "has a meaning only without pass_through_mode"),
    ({"headers": [{"name": "x", "string_match": {"safe_regex": {"regex": "("}}}]}, "headers[0]"),
    ({"pass_through_mode": None}, "pass_through_mode"),
])
def test_refused(tmp_path, fields, error):
    made = simple(1, filters=[health(**fields)])
    result = validate(tmp_path, made)
    assert result.returncode == 1
    assert error in result.stderr

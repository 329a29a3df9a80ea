# SPDX-License-Identifier: Apache-2.0
"""The same sickness seen by real Envoy and by Weir: flags, statistics, events, and answers to checks."""

import json
import re

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.upstream import Upstream, respond

FILTER = {"name": "hc", "typed_config": {
    "@type": ANY + "envoy.extensions.filters.http.health_check.v3.HealthCheck", "pass_through_mode": False,
    "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}]}}


class Sick(Upstream):
    def __init__(self):
        self.check, self.answer = "200 OK", "200 OK"
        super().__init__(self._handle)

    def _handle(self, connection):
        while (request := connection.read_request()) is not None:
            respond(connection, self.check if " /hc" in request.start else self.answer)


def config(directory, *ports):
    made = bootstrap(listener(hcm(filters=[FILTER])), clusters=[cluster(
        *ports, common_lb_config={"update_merge_window": "0s", "healthy_panic_threshold": {"value": 0}},
        health_checks=[{"timeout": "5s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_threshold": 2,
                        "healthy_threshold": 2, "event_log_path": str(directory / "checks"),
                        "http_health_check": {"path": "/hc"}}],
        outlier_detection={"consecutive_5xx": 3, "interval": "0.5s", "base_ejection_time": "3s", "max_ejection_percent": 50,
                           "successful_active_health_check_uneject_host": False})])
    made["node"] = {"id": "one", "cluster": "shop"}
    made["cluster_manager"] = {"outlier_detection": {"event_log_path": str(directory / "outliers")}}
    return made


def flags(proxy, port):
    return re.search(rf"^upstream::127.0.0.1:{port}::health_flags::(.*)$", proxy.admin("/clusters").text, re.M)[1]


def events(path, ports, count):
    """What was told, in order per endpoint, without times."""
    def read():
        text = path.read_text() if path.exists() else ""
        return text.splitlines() if text.count("\n") >= count and text.endswith("\n") else None
    told = [[], []]
    for line in wait_until(read, f"{count} events in {path}"):
        event = json.loads(line)
        where = event.pop("upstream_url", None) or event["host"]["socket_address"].pop("port_value")
        del event["timestamp"]
        if "secs_since_last_action" in event:
            event["secs_since_last_action"] = event["secs_since_last_action"].isdigit()
        told[ports.index(int(str(where).rsplit(":", 1)[-1]))].append(event)
    return told


def story(kind, directory):
    """What happens to two endpoints, as this proxy tells it."""
    directory.mkdir()
    a, b = Sick(), Sick()
    ports = [a.port, b.port]
    told = {}
    try:
        with kind(directory / "proxy", config(directory, *ports)) as proxy:
            told["first"] = [flags(proxy, port) for port in ports]
            a.check = "503 Sick"
            wait_until(lambda: flags(proxy, a.port) != "healthy", "a fails its check")
            told["failed"] = flags(proxy, a.port)
            told["alone"] = {http1.request(proxy.port).status for _ in range(4)}
            a.check = "200 OK"
            wait_until(lambda: flags(proxy, a.port) == "healthy", "a is well")
            a.answer = "500 Broken"
            with http1.Client(proxy.port) as client:
                told["ejected"] = wait_until(
                    lambda: client.request().status and (seen := flags(proxy, a.port)) != "healthy" and seen, "a is ejected")
            a.answer = "200 OK"
            wait_until(lambda: flags(proxy, a.port) == "healthy", "a is back")
            told["stats"] = {name for name in proxy.stats("health_check|outlier_detection")
                             if not name.endswith(("ejections_detected_degradation", "tracing.health_check"))}
            told["numbers"] = {name: value for name, value in proxy.stats("outlier_detection").items()
                               if not name.endswith("ejections_detected_degradation")}
            told["healthy"] = proxy.stats("health_check.healthy")
            answers = [http1.request(proxy.port, path="/healthz")]
            proxy.admin("/healthcheck/fail", "POST")
            answers += [http1.request(proxy.port, path="/healthz"), http1.request(proxy.port)]
            told["answers"] = [(one.status, {name: value for name, value in one.headers if name.startswith("x-envoy-upstream-h")
                                             or name.startswith("x-envoy-i") or name == "connection"}) for one in answers]
            told["checks"] = events(directory / "checks", ports, 4)
            told["outliers"] = events(directory / "outliers", ports, 2)
    finally:
        a.close()
        b.close()
    return told


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    directory = tmp_path_factory.mktemp("health")
    return story(Envoy, directory / "envoy"), story(Weir, directory / "weir")


@pytest.mark.parametrize("part", ["first", "failed", "alone", "ejected", "stats", "numbers", "healthy", "answers", "checks",
                                  "outliers"])
def test_the_same_story(stories, part):
    envoy, weir = stories
    assert weir[part] == envoy[part]

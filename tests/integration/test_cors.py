# SPDX-License-Identifier: Apache-2.0
"""CORS: every setting of a CorsPolicy on each level, beside real Envoy."""


import pytest

from support import envoy, http1
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route
from support.pages import block, with_ports
from support.process import Weir, validate
from support.upstream import Upstream, respond

CORS = {"name": "envoy.filters.http.cors", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.cors.v3.Cors"}}
FULL = {"allow_origin_string_match": [{"exact": "https://good.example"}, {"suffix": ".good.example"},
                                      {"safe_regex": {"regex": "https://r[0-9]+"}}],
        "allow_methods": "GET,PUT", "allow_headers": "x-a,x-b", "expose_headers": "x-c", "max_age": "600",
        "allow_credentials": True, "allow_private_network_access": True}
PREFLIGHT = {"access-control-request-method": "PUT"}
GOOD = {"origin": "https://good.example"}
HALF = {"default_value": {"numerator": 0}}


def per_filter(policy):
    return {"typed_per_filter_config": {"envoy.filters.http.cors": {
        "@type": ANY + "envoy.extensions.filters.http.cors.v3.CorsPolicy", **policy}}}


def without(*names):
    return {k: v for k, v in FULL.items() if k not in names}


# name -> (the virtual host's policy, the route's)
POLICIES = {
    "full": (None, FULL),
    "host": (FULL, None),
    "merged": (FULL, {"allow_methods": "DELETE", "allow_credentials": False}),
    "other-origins": (FULL, {"allow_origin_string_match": [{"exact": "https://only.example"}]}),
    "any": (None, {"allow_origin_string_match": [{"exact": "*"}]}),
    "contains": (None, {"allow_origin_string_match": [{"contains": "good"}], "max_age": "1"}),
    "nothing": (None, {}),
    "none": (None, None),
    "off": (None, {**FULL, "filter_enabled": HALF}),
    "shadow": (None, {**FULL, "filter_enabled": HALF, "shadow_enabled": {"default_value": {"numerator": 100}}}),
    "off-above": ({**FULL, "filter_enabled": HALF}, {"max_age": "5"}),
    "off-below": (FULL, {"filter_enabled": HALF}),
    "strict": (None, {**FULL, "forward_not_matching_preflights": False}),
    "public": (None, without("allow_private_network_access", "allow_credentials", "expose_headers")),
}
REQUESTS = {
    "no origin": ("GET", {}),
    "empty origin": ("GET", {"origin": ""}),
    "good": ("GET", GOOD),
    "bad": ("GET", {"origin": "https://bad.example"}),
    "suffix": ("GET", {"origin": "https://www.good.example"}),
    "regex": ("GET", {"origin": "https://r17"}),
    "case counts": ("GET", {"origin": "https://GOOD.example"}),
    "preflight": ("OPTIONS", {**GOOD, **PREFLIGHT}),
    "preflight of a bad origin": ("OPTIONS", {"origin": "https://bad.example", **PREFLIGHT}),
    "preflight without a method": ("OPTIONS", GOOD),
    "preflight with an empty method": ("OPTIONS", {**GOOD, "access-control-request-method": ""}),
    "preflight from a public network": ("OPTIONS", {**GOOD, **PREFLIGHT, "access-control-request-private-network": "true"}),
    "preflight by GET": ("GET", {**GOOD, **PREFLIGHT}),
    "an upstream with headers of its own": ("GET", {**GOOD, "x-own": "1"}),
}


def handler(connection):
    while (request := connection.read_request()) is not None:
        own = [("access-control-allow-origin", "https://own.example"), ("access-control-expose-headers", "x-own")]
        respond(connection, headers=own if request.get("x-own") else [], body="upstream")


def configuration(port):
    hosts = []
    for name, (host, one) in POLICIES.items():
        def with_policy(value, policy):
            return {**value, **(per_filter(policy) if policy is not None else {})}
        added = {"response_headers_to_add": [{"header": {"key": "x-route", "value": "1"}}]}
        hosts.append(with_policy({"name": name, "domains": [name], "routes": [
            with_policy({**direct(200, "direct", "/direct"), **added}, one), with_policy({**route(), **added}, one)]}, host))
    older = []
    for name, (host, one) in POLICIES.items():
        own = {} if one is None else {"cors": one}
        older.append({"name": name, "domains": [name], "routes": [direct(200, "direct", "/direct"), route(**own)],
                      **({} if host is None else {"cors": host})})
    fronts = [hcm(virtual_hosts=hosts, filters=[CORS], generate_request_id=False),
              {**hcm(virtual_hosts=older, filters=[CORS], generate_request_id=False), "stat_prefix": "older"}]
    return bootstrap(*[listener(front, name=front["stat_prefix"]) for front in fronts], clusters=[cluster(port)])


@pytest.fixture(scope="module")
def proxies(tmp_path_factory):
    with Upstream(handler) as upstream:
        config = configuration(upstream.port)
        with envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, \
                Weir(tmp_path_factory.mktemp("weir"), config) as ours:
            yield theirs, ours


def seen(proxy, policy, front):
    answers = {}
    with http1.Client(proxy.listener_port(front)) as client:
        for path in ("/", "/direct"):
            for name, (method, headers) in REQUESTS.items():
                answer = client.request(method, path, headers, host=policy)
                fields = sorted((k, v) for k, v in answer.headers if k not in ("date", "x-envoy-upstream-service-time"))
                answers[f"{name} {path}"] = (answer.status, answer.text, fields)
    return answers, {k: v for k, v in proxy.stats("cors").items() if ".cors.origin_" in k}


@pytest.mark.parametrize("front", ["front", "older"])
@pytest.mark.parametrize("policy", POLICIES)
def test_same(proxies, policy, front):
    """"older": the field `cors` of virtual hosts and routes."""
    (theirs, their_stats), (ours, our_stats) = (seen(proxy, policy, front) for proxy in proxies)
    assert theirs == ours
    assert their_stats == our_stats


def test_a_policy_for_another_filter(tmp_path):
    config = configuration(1)
    host = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    host["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] = {
        "envoy.filters.http.router": per_filter(FULL)["typed_per_filter_config"]["envoy.filters.http.cors"]}
    done = validate(tmp_path, config)
    assert done.returncode != 0
    assert 'the filter "envoy.filters.http.router" is no CORS filter' in done.stdout + done.stderr


def test_both_fields(tmp_path):
    config = configuration(1)
    host = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    host["route_config"]["virtual_hosts"][3]["cors"] = FULL
    done = validate(tmp_path, config)
    assert done.returncode != 0
    assert "cannot be combined with a CorsPolicy in typed_per_filter_config" in done.stdout + done.stderr


def test_the_manual(start):
    with Upstream(handler) as upstream:
        weir = start(with_ports(block("cors.md", "# cors\n"), {8080: upstream.port, 10000: 0}))
        answer = http1.request(weir.port, "OPTIONS", headers={"origin": "https://shop.example", **PREFLIGHT})
        assert (answer.status, answer.get("access-control-allow-origin")) == (200, "https://shop.example")
        assert http1.request(weir.port, headers={"origin": "https://other.example"}).get("access-control-allow-origin") is None

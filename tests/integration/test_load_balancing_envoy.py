# SPDX-License-Identifier: Apache-2.0
"""Consistent hashing through real Envoy and through Weir, over the same upstreams on the same ports: each request must go
to the same one, whatever decides its hash. Also what both set as cookies, and what both show of their hosts."""

import json
import re

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.envoy import Envoy
from support.listeners import proxy_protocol
from support.process import Weir, wait_until
from support.tcp import stdout_log, tcp_proxy
from support.upstream import Upstream, respond
from test_proxy_protocol import tlv, v2

HOSTS = 5
KEYS = 400
POLICIES = ANY + "envoy.extensions.load_balancing_policies."


def typed(kind, message, **fields):
    return {"policies": [{"typed_extension_config": {
        "name": "lb", "typed_config": {"@type": f"{POLICIES}{kind}.v3.{message}", **fields}}}]}


def hashed(name, policy="RING_HASH", **fields):
    return {"name": name, "lb_policy": policy, **fields}


def weights(*values):
    def change(c):
        for e, w in zip(c["load_assignment"]["endpoints"][0]["lb_endpoints"], values):
            e["load_balancing_weight"] = w
    return change


def healths(*values):
    def change(c):
        for e, h in zip(c["load_assignment"]["endpoints"][0]["lb_endpoints"], values):
            e["health_status"] = h
    return change


def localities(*shares):
    """One locality for each (weight, hosts)."""
    def change(c):
        hosts = iter(c["load_assignment"]["endpoints"][0]["lb_endpoints"])
        c["load_assignment"]["endpoints"] = [
            {"locality": {"zone": f"z{i}"}, "load_balancing_weight": weight, "lb_endpoints": [next(hosts) for _ in range(n)]}
            for i, (weight, n) in enumerate(shares)]
    return change


def priorities(*counts):
    def change(c):
        hosts = iter(c["load_assignment"]["endpoints"][0]["lb_endpoints"])
        c["load_assignment"]["endpoints"] = [{"priority": i, "lb_endpoints": [next(hosts) for _ in range(n)]}
                                             for i, n in enumerate(counts)]
    return change


def named(key):
    def change(c):
        for i, e in enumerate(c["load_assignment"]["endpoints"][0]["lb_endpoints"]):
            if key == "hostname":
                e["endpoint"]["hostname"] = f"host-{i}.example"
            else:
                e["metadata"] = {"filter_metadata": {"envoy.lb": {"hash_key": f"key-{i}"}}}
    return change


def after(*changes):
    def change(c):
        for f in changes:
            f(c)
    return change


WEIGHTED = {"common_lb_config": {"locality_weighted_lb_config": {}}}
BY_NAME = {"common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}}

# Clusters by name: fields, and what is done to their hosts.
CLUSTERS = {
    "ring": (hashed("ring"), None),
    "ring-small": (hashed("ring-small", ring_hash_lb_config={"minimum_ring_size": 7, "maximum_ring_size": 20}), None),
    "ring-capped": (hashed("ring-capped", ring_hash_lb_config={"minimum_ring_size": 1, "maximum_ring_size": 3}), None),
    "ring-murmur": (hashed("ring-murmur", ring_hash_lb_config={"hash_function": "MURMUR_HASH_2"}), None),
    "ring-weights": (hashed("ring-weights"), weights(1, 2, 3, 5, 7)),
    "ring-names": (hashed("ring-names", type="STRICT_DNS", **BY_NAME), named("hostname")),
    "ring-keys": (hashed("ring-keys"), named("hash_key")),
    "ring-places": (hashed("ring-places", **WEIGHTED), after(weights(3, 1, 1, 2, 1), localities((1, 2), (5, 3)))),
    "ring-unhealthy": (hashed("ring-unhealthy"), healths("HEALTHY", "UNHEALTHY", "UNKNOWN", "DRAINING", "TIMEOUT")),
    "ring-panic": (hashed("ring-panic"), healths("UNHEALTHY", "UNHEALTHY", "UNHEALTHY", "UNKNOWN", "TIMEOUT")),
    "ring-spill": (hashed("ring-spill"), after(healths("HEALTHY", "UNHEALTHY", "UNHEALTHY"), priorities(3, 2))),
    "ring-typed": ({"name": "ring-typed", "load_balancing_policy": typed("ring_hash", "RingHash", minimum_ring_size=64)}, None),
    "ring-own": ({"name": "ring-own", "load_balancing_policy": typed("ring_hash", "RingHash", consistent_hashing_lb_config={
        "hash_policy": [{"header": {"header_name": "x-key", "regex_rewrite": {
            "pattern": {"regex": "[02468]$"}, "substitution": "even"}}}]})}, None),
    "maglev-own": ({"name": "maglev-own", "load_balancing_policy": typed("maglev", "Maglev", consistent_hashing_lb_config={
        "hash_policy": [{"cookie": {"name": "c"}}, {"header": {"header_name": "x-key"}}]})}, None),
    "maglev": (hashed("maglev", "MAGLEV"), None),
    "maglev-small": (hashed("maglev-small", "MAGLEV", maglev_lb_config={"table_size": 31}), None),
    "maglev-weights": (hashed("maglev-weights", "MAGLEV"), weights(1, 2, 3, 5, 7)),
    "maglev-places": (hashed("maglev-places", "MAGLEV", **WEIGHTED), localities((1, 2), (5, 3))),
    "maglev-keys": (hashed("maglev-keys", "MAGLEV"), named("hash_key")),
    "maglev-spill": (hashed("maglev-spill", "MAGLEV"), after(healths("HEALTHY", "UNHEALTHY", "UNHEALTHY"), priorities(3, 2))),
    "maglev-typed": ({"name": "maglev-typed", "load_balancing_policy": typed("maglev", "Maglev", table_size=1009)}, None),
}

# Labels of the five hosts, clusters that divide them differently, and what routes ask for.
LABELS = [{"version": "1", "stage": "prod"}, {"version": "1", "stage": "dev"}, {"version": "2", "stage": "prod"},
          {"version": 2.5, "stage": ["prod", "dev"], "canary": True}, {"other": {"b": 1, "a": None}}]
SELECTORS = [{"keys": ["version"]}, {"keys": ["stage", "version"]}, {"keys": ["other"]}]
SUBSETS = {
    "none": {"fallback_policy": "NO_FALLBACK", "subset_selectors": SELECTORS},
    "any": {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": SELECTORS},
    "default": {"fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "prod"}, "subset_selectors": SELECTORS},
    "empty": {"fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "nowhere"}, "subset_selectors": SELECTORS},
    "panic": {"fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "nowhere"}, "panic_mode_any": True,
              "subset_selectors": SELECTORS},
    "lists": {"fallback_policy": "NO_FALLBACK", "list_as_any": True,
              "subset_selectors": [{"keys": ["stage"]}, {"keys": ["stage", "version"]}]},
    "selectors": {"fallback_policy": "NO_FALLBACK", "default_subset": {"version": "2"}, "subset_selectors": [
        {"keys": ["version"], "fallback_policy": "ANY_ENDPOINT"}, {"keys": ["canary"], "fallback_policy": "DEFAULT_SUBSET"},
        {"keys": ["stage", "version"], "fallback_policy": "KEYS_SUBSET", "fallback_keys_subset": ["version"]},
        {"keys": ["other"], "fallback_policy": "NO_FALLBACK"}]},
    "off": {"fallback_policy": "NO_FALLBACK"},
    "single": {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": [{"keys": ["version"], "single_host_per_subset": True},
                                                                       {"keys": ["stage", "version"], "single_host_per_subset": True}]},
    "ordered": {"fallback_policy": "NO_FALLBACK", "metadata_fallback_policy": "FALLBACK_LIST",
                "subset_selectors": [{"keys": ["version"]}, {"keys": ["stage", "version"], "fallback_policy": "NO_FALLBACK"}]},
    "places": {"fallback_policy": "ANY_ENDPOINT", "locality_weight_aware": True, "subset_selectors": SELECTORS},
    "scaled": {"fallback_policy": "ANY_ENDPOINT", "locality_weight_aware": True, "scale_locality_weight": True,
               "subset_selectors": [{"keys": ["stage"]}, {"keys": ["version"]}]},
    "flat": {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": SELECTORS},
}
# Those whose hosts lie in localities of different weights.
PLACED = ("places", "scaled", "flat")
# The same as a policy, whose child hashes.
TYPED_SUBSETS = {
    "typed": {**SUBSETS["selectors"], "list_as_any": True},
    "typed-places": SUBSETS["places"],
    "typed-ordered": SUBSETS["ordered"],
    "redundant": {"fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "prod"}, "allow_redundant_keys": True,
                  "subset_selectors": [{"keys": ["version"]}, {"keys": ["other"]}, {"keys": ["stage", "version"]}, {"keys": ["stage"]}]},
    "redundant-keys": {"fallback_policy": "ANY_ENDPOINT", "allow_redundant_keys": True, "subset_selectors": [
        {"keys": ["version"], "fallback_policy": "NO_FALLBACK"},
        {"keys": ["stage", "version"], "fallback_policy": "KEYS_SUBSET", "fallback_keys_subset": ["version"]}]},
}
ASKED = [None, {"version": "1"}, {"version": "2"}, {"version": 2.5}, {"version": "9"}, {"stage": "prod", "version": "1"},
         {"stage": "dev", "version": "2"}, {"stage": "dev", "version": "9"}, {"stage": "prod"}, {"stage": "dev"},
         {"stage": "dev", "version": 2.5}, {"canary": True}, {"canary": False}, {"other": {"a": None, "b": 1}}, {"other": 1},
         {"nobody": "knows"}, {}, {"version": "1", "nobody": "knows"}, {"stage": "dev", "version": "2", "x": 1},
         {"fallback_list": [{"version": "9"}, {"version": "2"}]}, {"fallback_list": []}, {"fallback_list": "text", "version": "1"},
         {"stage": "dev", "fallback_list": [{"version": "2"}, {"version": "1", "stage": "prod"}]},
         {"version": "2", "fallback_list": []}, {"version": "9", "fallback_list": [{"stage": "x"}, {}, 1, {"version": "1"}]}]

BY_KEY = [{"header": {"header_name": "x-key"}}]

# Hash policies by name, on the cluster "ring".
HASHES = {
    "rewritten": [{"header": {"header_name": "x-key", "regex_rewrite": {"pattern": {"regex": "^k(\\d)(\\d*)$"},
                                                                        "substitution": "\\2-\\1"}}}],
    "path": [{"header": {"header_name": ":path"}}],
    "query": [{"query_parameter": {"name": "q"}}],
    "cookie": [{"cookie": {"name": "c"}}],
    "two": [{"header": {"header_name": "x-key"}}, {"query_parameter": {"name": "q"}}],
    "twice": [{"header": {"header_name": "x-key"}}, {"header": {"header_name": "x-key"}}],
    "terminal": [{"header": {"header_name": "x-key"}, "terminal": True}, {"query_parameter": {"name": "q"}}],
    "fallback": [{"header": {"header_name": "x-none"}, "terminal": True}, {"query_parameter": {"name": "q"}}],
    "address": [{"connection_properties": {"source_ip": True}}],
    "session": [{"cookie": {"name": "s", "ttl": "0s"}}],
    "made": [{"cookie": {"name": "m", "ttl": "3600s", "path": "/made",
                         "attributes": [{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}]}}],
}


def config(ports):
    routes, clusters = [], []
    for name, (fields, change) in CLUSTERS.items():
        c = cluster(*ports, **fields)
        if change:
            change(c)
        clusters.append(c)
        routes.append(route(f"/{name}/", cluster=name, hash_policy=BY_KEY))
    for name, policies in HASHES.items():
        routes.append(route(f"/by-{name}/", cluster="ring", hash_policy=policies))
    for name, subsets in (SUBSETS | TYPED_SUBSETS).items():
        if name in TYPED_SUBSETS:
            child = typed("ring_hash", "RingHash", **({"locality_weighted_lb_config": {}} if "places" in name else {}))
            c = cluster(*ports, name=f"subset-{name}", load_balancing_policy=typed(
                "subset", "Subset", subset_lb_policy=child, **subsets))
        else:
            c = cluster(*ports, **hashed(f"subset-{name}", lb_subset_config=subsets, **(WEIGHTED if name in PLACED else {})))
        for e, labels in zip(c["load_assignment"]["endpoints"][0]["lb_endpoints"], LABELS):
            e["metadata"] = {"filter_metadata": {"envoy.lb": labels}}
        if name in PLACED or "places" in name:
            localities((1, 2), (5, 3))(c)
        clusters.append(c)
        for i, asked in enumerate(ASKED):
            more = {} if asked is None else {"metadata_match": {"filter_metadata": {"envoy.lb": asked}}}
            routes.append(route(f"/subset-{name}/{i}/", cluster=f"subset-{name}", hash_policy=BY_KEY, **more))
    routes.append({"match": {"prefix": "/weighted/"}, "route": {
        "hash_policy": BY_KEY, "metadata_match": {"filter_metadata": {"envoy.lb": {"version": "9", "stage": "dev"}}},
        "weighted_clusters": {"clusters": [{"name": "subset-none", "weight": 1, "metadata_match": {
            "filter_metadata": {"envoy.lb": {"version": "1"}}}}]}}})
    for name, part in (("all", {"numerator": 100}), ("none", {"numerator": 0}), ("half", {"numerator": 5000, "denominator": "TEN_THOUSAND"})):
        c = cluster(ports[0], name=f"drop-{name}")
        c["load_assignment"]["policy"] = {"drop_overloads": [{"category": "much", "drop_percentage": part}]}
        clusters.append(c)
        routes.append(route(f"/drop-{name}/", cluster=f"drop-{name}"))
    nobody = cluster(ports[0], name="nobody", lb_policy="RING_HASH", common_lb_config={"healthy_panic_threshold": {"value": 0}})
    healths("UNHEALTHY")(nobody)
    routes.append(route("/nobody/", cluster="nobody", hash_policy=HASHES["made"]))
    manager = hcm(routes, use_remote_address=False, xff_num_trusted_hops=0, access_log=[stdout_log(
        "LOG %REQ(:path)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS% end")])
    return bootstrap(listener(manager), clusters=[*clusters, nobody])


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hashes")
    upstreams = []
    for i in range(HOSTS):
        def answer(connection, number=i):
            while connection.read_request() is not None:
                respond(connection, body=str(number))
        upstreams.append(Upstream(answer))
    c = config([u.port for u in upstreams])
    try:
        with Envoy(directory / "envoy", c) as envoy, Weir(directory / "weir", c) as weir:
            envoy.upstream_ports = [u.port for u in upstreams]
            yield envoy, weir
    finally:
        for u in upstreams:
            u.close()


def places(proxy, requests):
    """Which upstream answers each request."""
    with http1.Client(proxy.port) as client:
        return "".join(client.request("GET", path, headers).text for path, headers in requests)


def same(both, requests):
    envoy, weir = (places(p, requests) for p in both)
    assert envoy == weir
    return weir


@pytest.mark.parametrize("name", CLUSTERS)
def test_same_host_as_envoy(both, name):
    answers = same(both, [(f"/{name}/", [("x-key", f"k{i}")]) for i in range(KEYS)])
    assert len(set(answers)) > 1


def requests_of(name):
    if name in ("rewritten", "twice"):
        return [(f"/by-{name}/", [("x-key", f"k{i}")]) for i in range(100)]
    if name in ("query", "fallback", "path"):
        return [(f"/by-{name}/x?a=1&q={'' if i == 7 else i}&q=no&b", []) for i in range(100)]
    if name == "cookie":
        forms = ("c={}", "a=1; c={}", 'c="{}"; c=other', "junk; c={}; b=2", " c={}", "a=c;c={}")
        return [(f"/by-{name}/", [("cookie", forms[i % len(forms)].format(f"v{i}"))]) for i in range(100)]
    if name in ("two", "terminal"):
        return [(f"/by-{name}/?q={i // 10}", [("x-key", f"k{i % 10}")]) for i in range(100)]
    return [(f"/by-{name}/", [("x-forwarded-for", f"10.1.{i}.{i + 1}")]) for i in range(100)]


@pytest.mark.parametrize("name", sorted(set(HASHES) - {"session", "made"}))
def test_same_hash_as_envoy(both, name):
    answers = same(both, requests_of(name))
    assert len(set(answers)) > 1


@pytest.mark.parametrize("name", SUBSETS | TYPED_SUBSETS)
def test_same_subset_as_envoy(both, name):
    requests = [(f"/subset-{name}/{i}/", [("x-key", f"k{k}")]) for i in range(len(ASKED)) for k in range(20)]
    requests += [("/weighted/", [("x-key", f"k{k}")]) for k in range(5)]
    before = [p.stats("lb_subsets") for p in both]
    same(both, requests)
    for counter in ("selected", "fallback", "fallback_panic"):
        full = f"cluster.subset-{name}.lb_subsets_{counter}"
        grown = [p.stats("lb_subsets")[full] - b[full] for p, b in zip(both, before)]
        assert grown[0] == grown[1], (counter, grown)
    duplicates = f"cluster.subset-{name}.lb_subsets_single_host_per_subset_duplicate"
    envoy, weir = (p.stats("single_host").get(duplicates) for p in both)
    assert weir == envoy


GRPC = [("content-type", "application/grpc")]


def test_dropped_as_by_envoy(both):
    seen = []
    for proxy in both:
        some = [http1.request(proxy.port, "GET", "/drop-half/") for _ in range(60)]
        kept = [a for a in some if a.status == 200]
        dropped = [a for a in some if a.status == 503]
        assert len(kept) > 5 and len(dropped) > 5 and len(kept) + len(dropped) == 60
        answers = [dropped[0], *(http1.request(proxy.port, "GET", path, headers) for path, headers in (
            ("/drop-all/", []), ("/drop-all/", GRPC), ("/drop-none/", [])))]
        lines = wait_until(lambda p=proxy: len(lines := set(re.findall("^LOG /drop-.* end$", p.log(), re.M))) >= 5 and lines, "lines")
        counted = {k: v for k, v in proxy.stats("cluster.drop-all").items() if re.search(r"all\.upstream_rq_(\d|completed|total)", k)}
        assert proxy.stats()["cluster.drop-half.upstream_rq_503"] == len(dropped)
        seen.append(([(a.status, a.get("x-envoy-drop-overload"), a.get("x-envoy-unconditional-drop-overload"), a.get("grpc-status"),
                       a.get("grpc-message"), a.text) for a in answers], lines, {k: v for k, v in counted.items() if v}))
    assert seen[1] == seen[0]


def labels_of_connections(ports):
    """Endpoints with labels, and listeners for HTTP and TCP that take one from PROXY headers."""
    c = cluster(*ports[:3], lb_subset_config={"subset_selectors": [{"keys": ["version"]}, {"keys": ["stage", "version"]}]})
    for e, labels in zip(c["load_assignment"]["endpoints"][0]["lb_endpoints"],
                         ({"version": "1", "stage": "dev"}, {"version": "2", "stage": "dev"}, {"version": "3"})):
        e["metadata"] = {"filter_metadata": {"envoy.lb": labels}}

    def asked(**labels):
        return {"metadata_match": {"filter_metadata": {"envoy.lb": labels}}}

    rule = proxy_protocol(rules=[{"tlv_type": 5, "on_tlv_present": {"metadata_namespace": "envoy.lb", "key": "version"}}])
    web = listener(hcm([route("/a"), route("/b", **asked(stage="dev")), route("/c", **asked(version="3"))]), listener_filters=[rule])
    tcp = {**web, "name": "tcp", "filter_chains": [{"filters": [tcp_proxy("upstream", stat_prefix="tcp", **asked(version="3"))]}]}
    return bootstrap(web, tcp, clusters=[c])


def test_labels_of_the_connection(both, tmp_path):
    c = labels_of_connections(both[0].upstream_ports)
    answers = []
    with Envoy(tmp_path / "envoy", c) as envoy, Weir(tmp_path / "weir", c) as weir:
        for proxy in (envoy, weir):
            answers.append(got := [])
            for value in (b"1", b"2", b"3", b"9", b"x" * 20000):
                for name, path in (("front", "/a"), ("front", "/b"), ("front", "/c"), ("tcp", "/")):
                    with http1.Client(proxy.listener_port(name)) as client:
                        client.send(v2(tlvs=tlv(5, value)) + f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
                        try:
                            got.append(client.response().text)
                        except http1.Closed:
                            got.append("closed")
    assert answers[1] == answers[0]
    assert set(answers[0]) == {"0", "1", "2", "no healthy upstream", "closed"}


def test_several_values_of_a_header(both):
    values = [("a", "b"), ("b", "a"), ("a", "b", "c"), ("c", "a", "b"), ("", "a"), ("aa", "a"), ("a", "a")]
    answers = same(both, [("/ring/", [("x-key", v) for v in tuple_of]) for tuple_of in values])
    assert answers[0] == answers[1] and answers[2] == answers[3]


@pytest.mark.parametrize("name", ("session", "made"))
def test_cookie_is_made_as_envoy_makes_it(both, name):
    forms = []
    for proxy in both:
        with http1.Client(proxy.port) as client:
            first = client.request("GET", f"/by-{name}/")
            cookie, = first.all("set-cookie")
            value = re.search(r'="([0-9a-f]+)"', cookie)[1]
            forms.append(re.sub(value, "VALUE", cookie))
            assert client.request("GET", f"/by-{name}/").get("set-cookie") == cookie, "one value for one connection"
            again = client.request("GET", f"/by-{name}/", [("cookie", f"{name[0]}={value}")])
            assert again.get("set-cookie") is None and again.text == first.text
    assert forms[0] == forms[1]


def test_cookie_with_an_answer_of_the_proxy(both):
    kept = []
    for proxy in both:
        answer = http1.request(proxy.port, "GET", "/nobody/")
        assert answer.status == 503
        kept.append(answer.get("set-cookie") is not None)
    assert kept[0] == kept[1]


def hosts(proxy):
    """/clusters in both forms, without what was counted."""
    text = proxy.admin("/clusters").text
    lines = sorted(line for line in text.splitlines() if not re.search(r"::(c|r)[xq]_\w+::\d+$", line))
    clusters = json.loads(proxy.admin("/clusters?format=json").body)["cluster_statuses"]
    for c in clusters:
        for host in c["host_statuses"]:
            host["stats"] = sorted((s["name"], s.get("type", "COUNTER")) for s in host["stats"])
    return lines, sorted(clusters, key=lambda c: c["name"])


def test_same_hosts_are_shown(both):
    envoy, weir = (hosts(p) for p in both)
    assert envoy[0] == weir[0]
    assert envoy[1] == weir[1]


def test_same_statistics_of_balancing(both):
    # The table of a subset is shown by whichever was made last.
    names = r"cluster\.(?!subset-).*\.(membership_(total|healthy|degraded|excluded)|ring_hash_lb.*|maglev_lb.*)"
    envoy, weir = (
        {k: v for k, v in p.stats("cluster").items() if re.fullmatch(names, k)} for p in both)
    assert weir == envoy
    assert weir["cluster.ring.ring_hash_lb.size"] == 1025

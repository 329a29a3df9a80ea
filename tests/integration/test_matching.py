# SPDX-License-Identifier: Apache-2.0
"""Filter chains by trees of the matching API (filter_chain_matcher): every input and kind of node, beside real Envoy."""

import pytest

from support.config import bootstrap
from support.envoy import Envoy
from support.listeners import client_hello, front, named_clusters, proxy_protocol, tls_inspector
from support.matching import (MATCHERS, NETWORK, all_of, any_of, by_ip, by_name, custom, exact, first_of, header, network, no, prefix,
                              to_chain, to_tree, typed, value)
from support.pages import block, with_ports
from support.process import Weir, validate
from support.tcp import Client, tcp_proxy
from support.upstream import Upstream

NAMES = "abcdef"
A, B, C, D = (to_chain(n) for n in "abcd")
SOURCE, DESTINATION, SNI = network("SourceIPInput"), network("DestinationIPInput"), network("ServerNameInput")
SUBJECT = typed("envoy.extensions.matching.common_inputs.ssl.v3.SubjectInput")
NEVER = first_of((value(SNI, exact="nobody.at.all"), A))


def chain(name):
    return {"name": name, "filters": [tcp_proxy(name, stat_prefix=name)]}


# name -> (tree, what is sent by which chain is expected to take it); "" for none. The default chain is f.
TREES = {
    "ip": (by_ip(SOURCE, (["10.0.0.0/8", "2001:db8::/32"], A), (["10.1.0.0/16"], B), (["10.1.2.3/32"], to_tree(NEVER)),
                 (["0.0.0.0/0"], C)),
           {"10.9.9.9": "a", "10.1.9.9": "b", "10.1.2.3": "b", "11.0.0.1": "c", "2001:db8::1": "a", "2001:db9::1": "f"}),
    "exclusive": (by_ip(SOURCE, (["10.0.0.0/8"], A, True), (["10.0.0.0/7"], C), (["10.1.0.0/16"], to_tree(NEVER)), (["10.1.2.0/24"], B, True)),
                  {"10.9.9.9": "a", "10.1.9.9": "c", "10.1.2.3": "b", "11.0.0.1": "c", "12.0.0.1": "f"}),
    "order": (by_ip(SOURCE, (["10.0.0.0/8"], to_tree(NEVER)), (["10.0.0.0/8"], A), (["10.0.0.0/8"], B)), {"10.9.9.9": "a"}),
    "name": (by_name(SNI, (["www.a.org"], A), (["*.a.org", "b.org"], B), (["*.c.a.org", "d.org"], to_tree(NEVER)), (["*.d.org"], to_chain("nope")),
                     (["*"], C)),
             {"sni www.a.org": "a", "sni WWW.A.org": "a", "sni x.a.org": "b", "sni x.c.a.org": "b", "sni c.a.org": "b",
              "sni a.org": "c", "sni b.org": "b", "sni d.org": "c", "sni x.d.org": "", "sni": "f", "10.0.0.1": "f"}),
    "exact": (exact(network("TransportProtocolInput"), {"tls": A, "raw_buffer": to_tree(exact(network("SourcePortInput"), {"4711": B}))},
                    to_chain("c")),
              {"sni q.org": "a", "10.0.0.1": "c", "10.0.0.1 4711": "b"}),
    "prefix": (prefix(SNI, {"a": A, "abc": to_tree(NEVER), "abcd": B}),
               {"sni abc.x": "a", "sni abcd.x": "b", "sni abcdef.x": "b", "sni ab": "a", "sni b": "f", "sni": "f"}),
    "list": (first_of((value(SNI, prefix="A", ignore_case=True), to_tree(NEVER)), (value(SNI, contains="mid"), A), (value(SNI, safe_regex={"google_re2": {}, "regex": "x+\\.org"}), B),
                      (all_of(value(SNI, prefix="y"), no(value(SNI, suffix="z"))), C),
                      (any_of(value(SNI, exact="p"), value(network("SourceTypeInput"), exact="local")), D), no_match=to_chain("e")),
             {"sni a.mid.org": "a", "sni xxx.org": "b", "sni yes": "c", "sni yz": "e", "sni p": "d", "sni q": "e", "127.0.0.1": "d"}),
    "missing": (first_of((no(value(SNI, exact="a")), A), no_match=B), {"sni a": "b", "sni b": "a", "sni": "a"}),
    "alpn": (first_of((value(network("ApplicationProtocolInput"), contains="'h2'"), A),
                      (value(network("ApplicationProtocolInput"), exact="'http/1.1','x'"), B)),
             {"sni a.org h2,http/1.1": "a", "sni a.org http/1.1,x": "b", "sni a.org http/1.1": "f", "sni a.org": "f"}),
    "ports": (exact(network("DestinationPortInput"), {"443": A, "8443": B}), {"10.0.0.1": "a"}),
    "addresses": (exact(DESTINATION, {"192.0.2.1": to_tree(exact(network("DirectSourceIPInput"), {"127.0.0.1": A})), "2001:db8::2": B}),
                  {"10.0.0.1": "a", "2001:db8::1": "b"}),
    "custom": (first_of((custom(SOURCE, MATCHERS + "ip.v3.Ip", cidr_ranges=[{"address_prefix": "11.0.0.0", "prefix_len": 8}],
                                stat_prefix="mine"), A),
                        (custom(SNI, MATCHERS + "ip.v3.Ip", cidr_ranges=[{"address_prefix": "10.0.0.0", "prefix_len": 8}],
                                stat_prefix="theirs"), B),
                        (custom(SNI, MATCHERS + "consistent_hashing.v3.ConsistentHashing", threshold=500, modulo=1000, seed=3), C),
                        (custom(SNI, MATCHERS + "runtime_fraction.v3.RuntimeFraction", seed=7,
                                runtime_fraction={"default_value": {"numerator": 50}}), D)),
               None),
    "nothing": ({}, {"10.0.0.1": "f"}),
    "only": ({"on_no_match": A}, {"10.0.0.1": "a"}),
    "environment": (exact(typed("envoy.extensions.matching.common_inputs.environment_variable.v3.Config", name="WEIR_NOT_SET_ANYWHERE"),
                          {"": A}, B), {"10.0.0.1": "b"}),
    # Nothing hangs on the certificate of a connection in clear text: it is not as if it had none.
    "unknown": (first_of((no(value(SUBJECT, prefix="CN")), A), no_match=B), {"10.0.0.1": "f"}),
    "unknown or": (first_of((any_of(value(SUBJECT, prefix="CN"), value(SNI, exact="p")), A), no_match=B), {"sni p": "a", "sni q": "f"}),
    "unknown and": (first_of((all_of(value(SNI, exact="p"), value(SUBJECT, prefix="CN")), A), no_match=B), {"sni p": "f", "sni q": "b"}),
    "unknown key": (exact(SUBJECT, {"x": A}, B), {"10.0.0.1": "f"}),
    "unknown inside": (by_ip(SOURCE, (["10.0.0.0/8"], to_tree(exact(SUBJECT, {"x": A}))), no_match=B), {"10.0.0.1": "f"}),
    "state": (first_of((value(network("FilterStateInput", key="who"), exact="me"), A), no_match=B), {"10.0.0.1": "b"}),
}
# What Envoy 1.40 does not live through: a match that is passed over, and the empty prefix; and IPv4 ranges written as IPv6.
ALONE = {
    "kept": ({"on_no_match": to_chain("a", keep_matching=True)}, {"10.0.0.1": "f"}),
    "kept rule": (first_of((value(SNI, prefix="x"), to_chain("a", keep_matching=True)), (value(SNI, suffix=".org"), B)),
                  {"sni x.org": "b", "sni x": "f"}),
    "kept tree": (prefix(SNI, {"x": B, "xy": to_tree(first_of((value(SNI, suffix="z"), A), no_match=C), keep_matching=True)}),
                  {"sni xyz": "b"}),
    "mapped": (by_ip(SOURCE, (["::ffff:10.1.0.0/112"], A), (["::/0"], B), (["::ffff:11.0.0.1/128"], C)),
               {"10.1.2.3": "a", "10.2.0.1": "f", "11.0.0.1": "c", "2001:db8::1": "b"}),
    "empty prefix": (prefix(SNI, {"": C, "a": A}), {"sni abc": "a", "sni b": "c", "sni": "f"}),
}
PARSING = ("mine.ip_parsing_failed", "theirs.ip_parsing_failed")
HASHED = [f"sni h{i}.org" for i in range(24)]


def opening(what):
    """A PROXY header, and a ClientHello or nothing."""
    words = what.split()
    if words[0] == "sni":
        hello = client_hello(words[1] if len(words) > 1 else None, words[2].split(",") if len(words) > 2 else ())
        return b"PROXY TCP4 10.0.0.1 192.0.2.1 1000 443\r\n" + hello
    source, port = words[0], words[1] if len(words) > 1 else "1000"
    kind, destination = ("TCP6", "2001:db8::2") if ":" in source else ("TCP4", "192.0.2.1")
    return f"PROXY {kind} {source} {destination} {port} 443\r\n".encode() + b"clear text that is no TLS"


def taker(proxy, name, what):
    """The chain that takes such a connection: its upstream says its name first."""
    with Client(proxy.listener_port(name)) as client:
        try:
            return client.send(opening(what)).read(1).decode()
        except (EOFError, ConnectionError):
            return ""


@pytest.fixture(scope="module")
def ports():
    """Where the chains lead: each upstream says its name."""
    def named(name):
        def handler(connection):
            connection.send(name.encode())
            while connection.socket.recv(1 << 16):
                pass
        return Upstream(handler)

    upstreams = {n: named(n) for n in NAMES}
    yield {n: u.port for n, u in upstreams.items()}
    for one in upstreams.values():
        one.close()


def listeners(trees):
    inspectors = [proxy_protocol(), tls_inspector()]
    return [{**front([chain(n) for n in NAMES[:-1]], inspectors, chain("f"), filter_chain_matcher=tree), "name": name,
             "stat_prefix": name.replace(" ", "_")} for name, (tree, _) in trees.items()]


def config(ports, trees):
    return bootstrap(*listeners(trees), clusters=[c for n, port in ports.items() for c in named_clusters(port, n)])


@pytest.fixture(scope="module")
def weir(ports, tmp_path_factory):
    with Weir(tmp_path_factory.mktemp("weir"), config(ports, {**TREES, **ALONE})) as running:
        yield running


def decisions(proxy, trees):
    return {(name, what): taker(proxy, name, what) for name, (_, expected) in trees.items() for what in expected or HASHED}


def test_decisions(weir):
    trees = {**TREES, **ALONE}
    expected = {(name, what): chosen for name, (_, whats) in trees.items() if whats for what, chosen in whats.items()}
    got = decisions(weir, trees)
    assert {k: v for k, v in got.items() if k[0] != "custom"} == expected
    assert {got["custom", what] for what in HASHED} == {"c", "d", "f"}
    assert weir.stats("name")["listener.name.no_filter_chain_match"] >= 1
    weir.wait_log('filter_chain_matcher names the filter chain "nope"')


def test_as_envoy(weir, ports, tmp_path):
    envoy = Envoy(tmp_path / "envoy", config(ports, TREES))
    try:
        before = {name: weir.stats(name)[name] for name in PARSING}
        assert decisions(weir, TREES) == decisions(envoy, TREES)
        for name, count in before.items():
            assert weir.stats(name)[name] - count == envoy.stats(name)[name], name
    finally:
        envoy.kill()


def bad(chains=None, fields=None):
    listener = {**front([chain("a")] if chains is None else chains), **(fields or {})}
    return bootstrap(listener, clusters=named_clusters(1, "a"))


def deep(depth):
    outcome = A
    for _ in range(depth):
        outcome = to_tree({"on_no_match": outcome})
    return outcome["matcher"]


def deep_predicate(depth):
    predicate = value(SNI, exact="a")
    for _ in range(depth):
        predicate = no(predicate)
    return first_of((predicate, A))


def with_custom(kind, **fields):
    return first_of((custom(SNI, kind, **fields), A))


ERRORS = {
    "input.typed_config: envoy.type.matcher.v3.HttpRequestHeaderMatchInput cannot be looked at for a filter chain": exact(header("a"), {"a": A}),
    "DynamicMetadataInput cannot be looked at": exact(network("DynamicMetadataInput", filter="a", path=[{"key": "b"}]), {"a": A}),
    "key: must not be empty": exact(network("FilterStateInput"), {"a": A}),
    "NetworkNamespaceInput\" is refused: network namespaces": exact(network("NetworkNamespaceInput"), {"a": A}),
    "CelMatcher\" is refused: CEL is not there": with_custom("xds.type.matcher.v3.CelMatcher"),
    "HttpAttributesCelMatchInput\" is refused: CEL": exact(typed("xds.type.matcher.v3.HttpAttributesCelMatchInput"), {"a": A}),
    "custom_match.typed_config: envoy.extensions.matching.common_inputs.network.v3.ServerNameInput compares nothing": with_custom(NETWORK + "ServerNameInput"),
    "matcher_list.matchers: must not be empty": {"matcher_list": {}},
    "or_matcher.predicate: must have at least 2 items": first_of((any_of(value(SNI, exact="a")), A)),
    "matchers[0].on_match: needs one of matcher, action": first_of((value(SNI, exact="a"), {})),
    "matcher_tree: needs one of exact_match_map": {"matcher_tree": {"input": SNI}},
    "matcher_tree.input: is required": {"matcher_tree": {"exact_match_map": {"map": {"a": A}}}},
    "single_predicate.value_match: bad regular expression": first_of((value(SNI, safe_regex={"google_re2": {}, "regex": "("}), A)),
    "value_match.prefix: must not be empty": first_of((value(SNI, prefix=""), A)),
    "threshold cannot be greater than modulo: 5 > 2": with_custom(MATCHERS + "consistent_hashing.v3.ConsistentHashing", threshold=5, modulo=2),
    "modulo: must be more than 0": with_custom(MATCHERS + "consistent_hashing.v3.ConsistentHashing"),
    "cidr_ranges[0]: \"1.2.3/8\" is no range": with_custom(MATCHERS + "ip.v3.Ip", stat_prefix="a", cidr_ranges=[{"address_prefix": "1.2.3", "prefix_len": 8}]),
    "range_matchers[0].ranges[1].address_prefix: \"1.2.3.4/33\" is no range": by_ip(SOURCE, (["::/0", "1.2.3.4/33"], A)),
    "range_matchers[0].on_match: is required": by_ip(SOURCE, (["::/0"], None)),
    "domain_matchers[0].domains[1]: \"*a\" is no domain": by_name(SNI, (["a", "*a"], A)),
    "domains[0]: \"*.\" is no domain": by_name(SNI, (["*."], A)),
    "domains[0]: \"*.a.*\" is no domain": by_name(SNI, (["*.a.*"], A)),
    "domains[0]: \"\" is empty": by_name(SNI, ([""], A)),
    "domain_matchers[1].domains[0]: \"*.a\" is given twice": by_name(SNI, (["*.a"], A), (["*.a"], A)),
    "must hold an IPMatcher or a ServerNameMatcher": {"matcher_tree": {"input": SNI, "custom_match": SNI}},
    "action.typed_config: must hold a google.protobuf.StringValue here": first_of((value(SNI, exact="a"), {"action": SNI})),
    "on_no_match.matcher: stands too deep: at most 32 inside each other": deep(33),
    "not_matcher: stands too deep: at most 32": deep_predicate(33),
}


@pytest.mark.parametrize("error", ERRORS)
def test_errors(tmp_path, error):
    answer = validate(tmp_path, bad(fields={"filter_chain_matcher": ERRORS[error]}))
    assert answer.returncode != 0
    assert error in answer.stderr and ": static_resources.listeners[0].filter_chain_matcher" in answer.stderr


def test_names_of_chains(tmp_path):
    answer = validate(tmp_path, bad([{"filters": chain("a")["filters"]}, chain("a"), chain("a")], {"filter_chain_matcher": {"on_no_match": A}}))
    assert 'filter_chains[0].name: "name" field is required when using a listener matcher' in answer.stderr
    assert "filter_chains[2].name: \"name\" field is duplicated with value 'a'" in answer.stderr


def test_as_deep_as_may_be(tmp_path):
    for tree in (deep(31), deep_predicate(30)):
        answer = validate(tmp_path, bad(fields={"filter_chain_matcher": tree}))
        assert answer.returncode == 0, answer.stderr


def test_chain_matches_mean_nothing_beside_a_tree(start, ports):
    """The chain's own match would never let it have the connection; two chains may even have the same one."""
    never = {"destination_port": 1}
    chains = [{**chain("a"), "filter_chain_match": never}, {**chain("b"), "filter_chain_match": never}]
    tree = exact(network("TransportProtocolInput"), {"raw_buffer": B})
    weir = start(config(ports, {}) | {"static_resources": {
        "listeners": [{**front(chains), "filter_chain_matcher": tree}],
        "clusters": [named_clusters(ports[n], n)[0] for n in NAMES]}})
    with Client(weir.port) as client:
        assert client.send(b"x").read(1) == b"b"


def test_a_thousand_entries(start, ports):
    """As many as a mesh has; that the last of them is found."""
    ranges = [([f"10.{i // 256}.{i % 256}.0/24"], A if i == 999 else B) for i in range(1000)]
    names = by_name(SNI, *[([f"h{i}.org", f"*.h{i}.org"], C if i == 999 else B) for i in range(1000)])
    trees = {"ranges": (by_ip(SOURCE, *ranges, no_match=to_tree(names)), {}),
             "keys": (prefix(SNI, {f"k{i}": A if i == 999 else B for i in range(1000)}), {})}
    weir = start(config(ports, trees))
    assert taker(weir, "ranges", "10.3.231.9") == "a"
    assert taker(weir, "ranges", "11.3.231.9") == "f"
    assert taker(weir, "keys", "sni k999.org") == "a"
    assert taker(weir, "keys", "sni k99.org") == "b"


def test_the_manual(start, ports):
    weir = start(with_ports(block("matching.md", "# matching: filter chains\n"), {10000: 0, 8443: ports["a"], 8444: ports["b"]}))
    for hello, expected in ((client_hello("www.shop.example.com"), b"a"), (client_hello("shop.example.com"), b"b"), (b"clear", b"b")):
        with Client(weir.listener_port("front")) as client:
            assert client.send(hello).read(1) == expected

# SPDX-License-Identifier: Apache-2.0
"""Sticky sessions through real Envoy and through Weir: cookies, headers and envelopes are the same, each proxy reads what the
other one wrote, and what is no session leads to the same answers."""

import base64
import re

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.envoy import Envoy
from support.process import Weir
from support.upstream import Upstream, respond

HOSTS = 4
NAME = "envoy.filters.http.stateful_session"
FILTER = ANY + "envoy.extensions.filters.http.stateful_session.v3.StatefulSession"


def state(kind, message, **fields):
    return {"session_state": {"name": f"envoy.http.stateful_session.{kind}", "typed_config": {
        "@type": f"{ANY}envoy.extensions.http.stateful_session.{kind}.v3.{message}", **fields}}}


def cookie(**fields):
    return state("cookie", "CookieBasedSessionState", cookie=fields)


HEADER = state("header", "HeaderBasedSessionState", name="X-Session")
ROUTES = {
    "cookie": {**cookie(name="sticky", ttl="120s", path="/cookie")},
    "session": {**cookie(name="sticky", attributes=[{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}])},
    "deep": {**cookie(name="sticky", path="/deep/er")},
    "strict": {**HEADER, "strict": True},
    "envelope": {**state("envelope", "EnvelopeSessionState", header={"name": "x-envelope"})},
    "nothing": {},
}


def for_route(config):
    own = {"disabled": True} if config is None else {"stateful_session": config}
    return {"typed_per_filter_config": {NAME: {"@type": FILTER + "PerRoute", **own}}}


def config(ports):
    routes = [{**route(f"/{name}", cluster="plain"), **for_route(c)} for name, c in [*ROUTES.items(), ("off", None)]]
    labelled = {"metadata_match": {"filter_metadata": {"envoy.lb": {"stage": "a"}}}}
    routes += [route("/any", cluster="any"), route("/subset", cluster="subset", **labelled), route("/", cluster="plain")]
    clusters = [cluster(*ports, name="plain"), cluster(*ports, name="any", common_lb_config={"override_host_status": {
        "statuses": ["UNKNOWN", "DRAINING"]}}), cluster(*ports, name="subset", lb_subset_config={"subset_selectors": [{"keys": ["stage"]}]})]
    for c in clusters:
        endpoints = c["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoints[0]["metadata"] = {"filter_metadata": {"envoy.lb": {"stage": "a"}}}
        endpoints[HOSTS - 1]["health_status"] = "DRAINING"
    manager = hcm(routes, filters=[{"name": NAME, "typed_config": {"@type": FILTER, "stat_prefix": "s", **HEADER}}])
    return bootstrap(listener(manager), clusters=clusters)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sessions")
    upstreams = []
    for i in range(HOSTS):
        def answer(connection, number=i):
            while (request := connection.read_request()) is not None:
                respond(connection, body=f"{number} {request.get('x-envelope')}", headers=[("x-envelope", "id=1; x")])
        upstreams.append(Upstream(answer))
    c = config([u.port for u in upstreams])
    try:
        with Envoy(directory / "envoy", c) as envoy, Weir(directory / "weir", c) as weir:
            yield (envoy, weir), [f"127.0.0.1:{u.port}" for u in upstreams]
    finally:
        for u in upstreams:
            u.close()


def encode(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def message(address, expires=None):
    """The protobuf message of a cookie."""
    out = b"\x0a" + bytes([len(address)]) + address.encode()
    if expires is not None:
        out += b"\x10"
        while expires > 127:
            out, expires = out + bytes([expires & 127 | 128]), expires >> 7
        out += bytes([expires])
    return out


def get(proxy, path, headers=()):
    return http1.request(proxy.port, "GET", path, list(headers))


def same(both, path, headers=(), served=True):
    """Both answers without what depends on the endpoint when it is free."""
    seen = []
    for proxy in both:
        a = get(proxy, path, headers)
        assert a.status in (200, 503)
        seen.append((a.status, a.text if served else a.status == 200 or a.text, a.get("set-cookie") is not None, a.get("x-session") is not None))
    assert seen[1] == seen[0]
    return seen[1]


def test_sessions_begin_alike(both):
    proxies, addresses = both
    for path in ("/cookie/x?y", "/session", "/deep/er", "/deep/er/x", "/deep/erx", "/deep", "/", "/off", "/nothing", "/any", "/subset"):
        forms = []
        for proxy in proxies:
            a = get(proxy, path)
            own = encode(addresses[int(a.text[0])])
            made = a.get("set-cookie") or ""
            value = re.search(r'="([^"]*)"', made)
            if value:
                assert addresses[int(a.text[0])].encode() in base64.b64decode(value[1])
            forms.append((a.status, value and made.replace(value[1], "V"), len(value[1]) if value else 0, a.get("x-session") == own))
        assert forms[1] == forms[0], path


@pytest.mark.parametrize("path", ("/cookie", "/session", "/deep/er"))
def test_cookies_of_the_other_one(both, path):
    proxies, addresses = both
    for writer in proxies:
        first = get(writer, path)
        sent = first.get("set-cookie").split(";")[0]
        for reader in proxies:
            for form in (sent, f'a=b; {sent}; c="d"'):
                again = get(reader, path, [("cookie", form)])
                assert again.text == first.text and again.get("set-cookie") is None


def test_named_endpoints(both):
    proxies, addresses = both
    for number, address in enumerate(addresses):
        free = number == HOSTS - 1
        for path in ("/", "/strict", "/any", "/subset"):
            wanted = same(proxies, path, [("x-session", encode(address))], served=not free)
            if not free:
                assert wanted == (200, f"{number} None", False, False)
        same(proxies, "/any", [("x-session", encode(address))])
        for value in (message(address), message(address, 1), message(address, 1 << 40), b"\x1a\x03abc" + message(address)):
            same(proxies, "/session", [("cookie", f"sticky={encode(value)}")], served=False)
        same(proxies, "/session", [("cookie", f"sticky={encode(message(address, 1 << 40))}")], served=not free)
        same(proxies, "/session", [("cookie", f"sticky={encode(address)}")], served=not free)  # as it was once written
        same(proxies, "/cookie", [("cookie", f"sticky={encode(message(address, 1))}")], served=False)
    assert same(proxies, "/strict", [("x-session", encode(addresses[-1]))]) == (503, "no healthy upstream", False, False)


def test_envelopes(both):
    proxies, addresses = both
    for proxy in proxies:
        a = get(proxy, "/envelope")
        address, value = a.get("x-envelope").split(";")
        assert base64.b64decode(address).decode() == addresses[int(a.text[0])] and value == "UV:" + encode("id=1; x")
    for sent in ("{a};UV:{v}", ";{a};;UV:{v};x", "{a};x;UV:{v};UV:{w}", "UV:{v};{a}", "{a}", "{a};UV:", "UV:{v}", "x;UV:{v}", ""):
        for number, address in enumerate(addresses[:2]):
            text = sent.format(a=encode(address), v=encode("mine"), w=encode("other"))
            free = not sent.replace(";", "").startswith("{a}") or "{v}" not in sent
            answers = [get(p, "/envelope", [("x-envelope", text)]) for p in proxies]
            assert answers[1].text[2:] == answers[0].text[2:], sent
            if not free:
                assert answers[1].text == answers[0].text == f"{number} mine"


def test_an_envelope_cannot_smuggle(both):
    (_, weir), addresses = both
    a = get(weir, "/envelope", [("x-envelope", f"{encode(addresses[0])};UV:{encode('a' + chr(13) + chr(10) + 'x: y')}")])
    assert a.status == 200 and chr(13) not in a.text


@pytest.mark.parametrize("value", ("", "=", "MQ", "!!!!", encode("127.0.0.1:1"), encode("localhost:80"), encode("\0"), "A" * 9000))
def test_what_names_nobody(both, value):
    proxies, _ = both
    for path in ("/", "/strict"):
        same(proxies, path, [("x-session", value)], served=False)
    same(proxies, "/session", [("cookie", f"sticky={value}")], served=False)


def test_same_statistics(both):
    proxies, addresses = both
    grown = []
    for proxy in proxies:
        before = proxy.stats("stateful_session")
        for path, address in (("/", addresses[0]), ("/", "127.0.0.1:1"), ("/", ""), ("/strict", "127.0.0.1:1"), ("/strict", addresses[1]),
                              ("/off", addresses[0]), ("/nothing", ""), ("/deep", ""), ("/any", addresses[1])):
            get(proxy, path, [("x-session", encode(address))] if address else [])
        grown.append({k: v - before[k] for k, v in proxy.stats("stateful_session").items()})
    assert grown[1] == grown[0] and len(grown[0]) >= 3

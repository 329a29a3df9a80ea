# SPDX-License-Identifier: Apache-2.0
"""Access control by rules, for requests and for connections: one table of what is allowed, asked of Weir and of real Envoy; what
statistics, access logs and the log say of it, and what a configuration may not say."""

import re
import ssl

import pytest

from support import http1, pages, tls
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, wasm
from support.envoy import Envoy
from support.listeners import proxy_protocol, tls_inspector
from support.pki import Pki
from support.process import Weir, validate, wait_until
from support.tcp import Client, echo, stdout_log, tcp_proxy
from support.tcp import listener as tcp_listener
from support.upstream import Upstream
from support.upstream import echo as echo_requests

RBAC = ANY + "envoy.extensions.filters.http.rbac.v3.RBAC"
NETWORK = ANY + "envoy.extensions.filters.network.rbac.v3.RBAC"
MTLS = ANY + "envoy.extensions.rbac.principals.mtls_authenticated.v3.Config"
TEMPLATE = ANY + "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
ALL = [{"any": True}]
PEER = "spiffe://cluster.local/ns/default/sa/app"
PROXY = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n"
FORWARDED = ("x-forwarded-for", "9.8.7.6")


def policy(permission=None, principal=None):
    return {"permissions": [permission] if permission else ALL, "principals": [principal] if principal else ALL}


def may(permission=None, principal=None, action="ALLOW"):
    return {"action": action, "policies": {"p": policy(permission, principal)}}


def exact(name, value):
    return {"header": {"name": name, "string_match": {"exact": value}}}


def ip(kind, prefix, length):
    return {kind: {"address_prefix": prefix, "prefix_len": length}}


def path(**match):
    return {"url_path": {"path": match}}


def metadata(value, space="envoy.filters.http.rbac", key="first_enforced_effective_policy_id", **fields):
    return {"filter": space, "path": [{"key": key}], "value": {"string_match": {"exact": value}}, **fields}


def named(**match):
    return {"authenticated": {"principal_name": match}}


def mtls(**fields):
    return {"custom": {"name": "envoy.rbac.principals.mtls_authenticated", "typed_config": {"@type": MTLS, **fields}}}


def mtls_name(kind, **match):
    return mtls(san_matcher={"san_type": kind, "matcher": match})


def template(text):
    return {"uri_template": {"name": "t", "typed_config": {"@type": TEMPLATE, "path_template": text}}}


# Rules of a route, and who asks for it: more path, headers, and over TLS with which certificate. The last says who is let in.
CASES = {
    "any": (may(), {}, True),
    "nobody": ({}, {}, False),
    "deny nobody": ({"action": "DENY"}, {}, True),
    "deny": (may(exact("x-a", "1"), action="DENY"), {"headers": [("x-a", "1")]}, False),
    "deny another": (may(exact("x-a", "1"), action="DENY"), {"headers": [("x-a", "2")]}, True),
    "log": (may(exact("x-a", "1"), action="LOG"), {}, True),
    "header": (may(exact("x-a", "1")), {"headers": [("x-a", "1")]}, True),
    "header principal": (may(None, exact("x-a", "1")), {"headers": [("x-a", "2")]}, False),
    "header of several": (may(exact("x-a", "1")), {"headers": [("x-a", "2"), ("x-a", "1")]}, True),
    "header joined": (may(exact("x-a", "2,1")), {"headers": [("x-a", "2"), ("x-a", "1")]}, False),
    "header inverted": (may({"header": {**exact("x-a", "1")["header"], "invert_match": True}}),
                        {"headers": [("x-a", "2"), ("x-a", "1")]}, False),
    "method": (may(exact(":method", "GET")), {}, True),
    "authority": (may({"header": {"name": ":authority", "string_match": {"suffix": ".example"}}}), {}, True),
    "both": (may({"and_rules": {"rules": [exact("x-a", "1"), exact("x-b", "1")]}}), {"headers": [("x-a", "1")]}, False),
    "either": (may({"or_rules": {"rules": [exact("x-a", "1"), exact("x-b", "1")]}}), {"headers": [("x-b", "1")]}, True),
    "not": (may({"not_rule": exact("x-a", "1")}), {"headers": [("x-a", "1")]}, False),
    "both ids": (may(None, {"and_ids": {"ids": [exact("x-a", "1"), {"not_id": exact("x-b", "1")}]}}), {"headers": [("x-a", "1")]}, True),
    "either id": (may(None, {"or_ids": {"ids": [exact("x-a", "1"), exact("x-b", "1")]}}), {}, False),
    "path": (may(path(exact="/path")), {"more": "?x=/other"}, True),
    "path longer": (may(path(exact="/path_longer")), {"more": "/x"}, False),
    "path prefix": (may(None, path(prefix="/path_p", ignore_case=True)), {"more": "/x"}, True),
    "path regex": (may(path(safe_regex={"regex": "/path_regex/[0-9]+"})), {"more": "/17"}, True),
    "path regex whole": (may(path(safe_regex={"regex": "/path_regex_whole/[0-9]+"})), {"more": "/17x"}, False),
    "path parameters": (may(path(exact="/path_parameters"), action="DENY"), {"more": ";a=b"}, False),
    "path inner": (may(path(exact="/path_inner/x"), action="DENY"), {"more": ";a=b/x;c"}, False),
    "template": (may(template("/template/{a}/c")), {"more": "/b/c?x"}, True),
    "template other": (may(template("/template_other/*/c")), {"more": "/b/b/c"}, False),
    "port": (may({"destination_port": 2000}), {"proxied": True}, True),
    "port other": (may({"destination_port": 2001}), {"proxied": True}, False),
    "ports": (may({"destination_port_range": {"start": 2000, "end": 2001}}), {"proxied": True}, True),
    "ports below": (may({"destination_port_range": {"start": 1999, "end": 2000}}), {"proxied": True}, False),
    "all ports": (may({"destination_port_range": {"start": 0, "end": 65536}}), {}, True),
    "destination": (may(ip("destination_ip", "5.6.7.0", 24)), {"proxied": True}, True),
    "destination other": (may(ip("destination_ip", "5.6.6.0", 24)), {"proxied": True}, False),
    "source": (may(None, ip("source_ip", "1.2.3.4", 32)), {"proxied": True}, True),
    "source other": (may(None, ip("source_ip", "127.0.0.0", 8)), {"proxied": True}, False),
    "direct": (may(None, ip("direct_remote_ip", "127.0.0.0", 8)), {"proxied": True}, True),
    "direct other": (may(None, ip("direct_remote_ip", "1.2.3.4", 32)), {"proxied": True}, False),
    "remote": (may(None, ip("remote_ip", "9.8.7.6", 32)), {"proxied": True}, True),
    "remote other": (may(None, ip("remote_ip", "1.2.3.4", 32)), {"proxied": True}, False),
    "remote plain": (may(None, ip("remote_ip", "127.0.0.1", 32)), {}, True),
    "remote six": (may(None, ip("remote_ip", "::", 0)), {}, False),
    "metadata": (may({"metadata": metadata("one")}), {"headers": [("x-first", "1")]}, True),
    "metadata absent": (may({"metadata": metadata("one")}), {}, False),
    "metadata inverted": (may(None, {"metadata": metadata("one", invert=True)}), {}, True),
    "metadata sourced": (may(None, {"sourced_metadata": {"metadata_matcher": metadata("one")}}), {"headers": [("x-first", "1")]}, True),
    "metadata of route": (may({"sourced_metadata": {"metadata_matcher": metadata("here", "test", "is"), "metadata_source": "ROUTE"}}),
                          {}, True),
    "metadata of route other": (may(None, {"sourced_metadata": {"metadata_matcher": metadata("there", "test", "is"),
                                                                "metadata_source": "ROUTE"}}), {}, False),
    "state": (may(None, {"filter_state": {"key": "nothing", "string_match": {"exact": ""}}}), {}, False),
    "state not": (may(None, {"not_id": {"filter_state": {"key": "nothing", "string_match": {"exact": ""}}}}), {}, True),
    "server name": (may({"requested_server_name": {"exact": "a.example"}}), {"tls": "none"}, True),
    "server name other": (may({"requested_server_name": {"suffix": ".test"}}), {"tls": "none"}, False),
    "server name none": (may({"requested_server_name": {"exact": ""}}), {}, True),
    "tls": (may(None, {"authenticated": {}}), {"tls": "none"}, True),
    "tls absent": (may(None, {"authenticated": {}}), {}, False),
    "uri": (may(None, named(exact=PEER)), {"tls": "app"}, True),
    "uri second": (may(None, named(exact="spiffe://second")), {"tls": "app"}, True),
    "uri namespace": (may(None, named(safe_regex={"regex": ".*/ns/default/.*"})), {"tls": "app"}, True),
    "dns": (may(None, named(exact="app.test")), {"tls": "app"}, True),
    "subject": (may(None, named(exact="CN=app,O=Weir")), {"tls": "app"}, True),
    "subject alone": (may(None, named(exact="CN=bare,O=Weir")), {"tls": "bare"}, True),
    "name of nobody": (may(None, named(exact="")), {"tls": "none"}, True),
    "name in clear text": (may(None, named(exact="")), {}, False),
    "mtls": (may(None, mtls(any_validated_client_certificate=True)), {"tls": "bare"}, True),
    "mtls none": (may(None, mtls(any_validated_client_certificate=True)), {"tls": "none"}, False),
    "mtls uri": (may(None, mtls_name("URI", prefix="spiffe://sec")), {"tls": "app"}, True),
    "mtls uri other": (may(None, mtls_name("URI", exact="app.test")), {"tls": "app"}, False),
    "mtls host": (may(None, mtls_name("DNS", exact="x.wild.test")), {"tls": "app"}, True),
    "mtls host text": (may(None, mtls_name("DNS", prefix="x.wild")), {"tls": "app"}, False),
    "mtls email": (may(None, mtls_name("EMAIL", exact="e@app.test")), {"tls": "app"}, True),
    "mtls address": (may(None, mtls_name("IP_ADDRESS", exact="10.1.2.3")), {"tls": "app"}, True),
    # As istiod renders an AuthorizationPolicy.
    "istio": ({"policies": {"ns[default]-policy[app]-rule[0]": {
        "permissions": [{"and_rules": {"rules": [
            {"or_rules": {"rules": [exact(":method", "GET")]}}, {"or_rules": {"rules": [path(prefix="/istio")]}}]}}],
        "principals": [{"and_ids": {"ids": [
            {"or_ids": {"ids": [named(exact=PEER)]}},
            {"or_ids": {"ids": [named(safe_regex={"regex": ".*/ns/default/.*"})]}},
            {"not_id": {"or_ids": {"ids": [ip("remote_ip", "10.0.0.0", 8)]}}}]}}]}}}, {"tls": "app", "more": "/x"}, True),
    "istio stranger": (may(None, {"and_ids": {"ids": [{"or_ids": {"ids": [named(exact=PEER)]}}]}}), {"tls": "bare"}, False),
}


def rbac(name="rbac", **fields):
    return {"name": name, "typed_config": {"@type": RBAC, **fields}}


def override(rules, name="rbac"):
    return {"typed_per_filter_config": {name: {"@type": RBAC + "PerRoute", **({"rbac": rules} if rules is not None else {})}}}


def place(case):
    return "/" + case.replace(" ", "_")


def manager(prefix, **fields):
    routes = [{**direct(200, "in", place(case)), **override({"rules": rules}), "metadata": {"filter_metadata": {"test": {"is": "here"}}}}
              for case, (rules, _, _) in sorted(CASES.items(), key=lambda item: -len(item[0]))]
    first = rbac("first", rules={"action": "LOG", "policies": {"one": policy(exact("x-first", "1"))}}, rules_stat_prefix="first_")
    made = hcm(routes, filters=[first, rbac()], stat_prefix=prefix, **fields)
    made["route_config"]["ignore_path_parameters_in_path_matching"] = True
    return made


OWN = {"action": "DENY", "policies": {"b": policy(exact("x-deny", "1")), "a b": policy(exact("x-deny", "1"))}}
TOLD = ("%REQ(x-case)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DYNAMIC_METADATA(envoy.filters.http.rbac)% "
        "%DYNAMIC_METADATA(envoy.common)% end")


def telling(name, *behind):
    """A listener whose filters have rules of their own; some routes replace them."""
    filters = [rbac(rules=OWN, shadow_rules={"policies": {"sh": policy(exact("x-shadow", "1"))}}, rules_stat_prefix="pre",
                    shadow_rules_stat_prefix="dry.", track_per_rule_stats=True),
               rbac("hint", rules={"action": "LOG", "policies": {"l": policy(exact("x-log", "1"))}}),
               rbac("only_shadow", shadow_rules={"action": "LOG"}, shadow_rules_stat_prefix="istio_dry_run_allow_"),
               *behind]
    own = {"rules": {"action": "DENY", "policies": {"of the\troute": policy(exact("x-own", "1"))}}, "rules_stat_prefix": "r_",
           "shadow_rules": {}, "shadow_rules_stat_prefix": "s_", "track_per_rule_stats": True}
    switched = {"rbac": {"@type": ANY + "envoy.config.route.v3.FilterConfig", "disabled": True}}
    routes = [{**direct(200, "in", "/free"), **override(None)}, {**direct(200, "in", "/own"), **override(own)},
              {**direct(200, "in", "/off"), "typed_per_filter_config": switched}, direct(200, "in")]
    return listener(hcm(routes, filters=filters, stat_prefix=name, access_log=[stdout_log(TOLD)]), name=name)


def network(name, **fields):
    return {"name": "nr", "typed_config": {"@type": NETWORK, "stat_prefix": name, **fields}}


ENDED = "%CONNECTION_TERMINATION_DETAILS% %DYNAMIC_METADATA(envoy.filters.network.rbac)% %DYNAMIC_METADATA(envoy.common)% end"
CONNECTIONS = {
    "tcp-allow": {"rules": may(ip("destination_ip", "127.0.0.1", 32), ip("source_ip", "127.0.0.1", 32))},
    "tcp-deny": {"rules": {"action": "DENY", "policies": {"the rest": policy()}}},
    "tcp-nobody": {"rules": {"policies": {"x": policy(path(prefix="/"))}}, "enforcement_type": "CONTINUOUS"},
    "tcp-shadow": {"shadow_rules": may(None, ip("remote_ip", "127.0.0.1", 32), "DENY"), "shadow_rules_stat_prefix": "dry_"},
    "tcp-log": {"rules": may(action="LOG"), "enforcement_type": "CONTINUOUS"},
    "tcp-late": {"rules": {"policies": {}}, "delay_deny": "0.3s"},
}


class Certificates:
    def __init__(self, directory):
        pki = Pki(directory)
        self.root = pki.make("root", ca=True)
        self.server = pki.make("server", self.root, sans="DNS:a.example")
        self.by_name = {
            "none": None, "bare": pki.make("bare", self.root, subject="/O=Weir/CN=bare"),
            "app": pki.make("app", self.root, subject="/O=Weir/CN=app", sans=f"URI:{PEER},URI:spiffe://second,DNS:app.test,DNS:*.wild.test,"
                            "email:e@app.test,IP:10.1.2.3")}

    def listener(self):
        common = {"validation_context": {"trusted_ca": {"filename": str(self.root.pem)}}}
        return tls.secured(tls.downstream(self.server.tls_certificate, common=common), manager("tls"), name="tls",
                           listener_filters=[tls_inspector()])

    def client(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.by_name[name]:
            context.load_cert_chain(self.by_name[name].pem, self.by_name[name].key)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=[Weir, Envoy], ids=["weir", "envoy"])
def proxy(request, certificates, tmp_path_factory):
    proxied = listener(manager("proxied"), name="proxied", listener_filters=[proxy_protocol()])
    proxied["filter_chains"][0]["filters"][0]["typed_config"]["use_remote_address"] = False
    with Upstream(echo) as upstream:
        tcp = [tcp_listener(network(name, **fields), tcp_proxy(access_log=[stdout_log(name + " " + ENDED)]), name=name)
               for name, fields in CONNECTIONS.items()]
        config = bootstrap(listener(manager("plain"), name="plain"), proxied, certificates.listener(), telling("told"),
                           telling("plugin", wasm("probe", name="p")), *tcp, clusters=[cluster(upstream.port)])
        with request.param(tmp_path_factory.mktemp("rbac"), config) as running:
            yield running


def ask(proxy, certificates, case, more="", headers=(), tls=None, proxied=False):
    name = "tls" if tls else "proxied" if proxied else "plain"
    with http1.Client(proxy.listener_port(name)) as client:
        if tls:
            client.socket = certificates.client(tls).wrap_socket(client.socket, server_hostname="a.example")
        if proxied:
            client.send(PROXY)
            headers = [FORWARDED, *headers]
        return client.request("GET", place(case) + more, headers, host="www.example")


@pytest.mark.parametrize("case", CASES)
def test_who_is_let_in(proxy, certificates, case):
    answer = ask(proxy, certificates, case, **CASES[case][1])
    assert (answer.status, answer.text) == ((200, "in") if CASES[case][2] else (403, "RBAC: access denied"))


REQUESTS = [("plain", "/", ()), ("deny", "/", [("x-deny", "1")]), ("shadow", "/", [("x-shadow", "1")]), ("log", "/", [("x-log", "1")]),
            ("free", "/free", [("x-deny", "1")]), ("off", "/off", [("x-deny", "1")]), ("own", "/own", [("x-own", "1")]),
            ("own-in", "/own", [("x-deny", "1")]), ("grpc", "/", [("x-deny", "1"), ("content-type", "application/grpc")])]
LOGGED = """\
plain 200 - direct_response {"enforced_engine_result":"allowed","istio_dry_run_allow_shadow_engine_result":"allowed",\
"preenforced_engine_result":"allowed","dry.shadow_engine_result":"denied"} {"access_log_hint":false} end
deny 403 - rbac_access_denied_matched_policy[a_b] {"preenforced_effective_policy_id":"a b","preenforced_engine_result":"denied",\
"dry.shadow_engine_result":"denied"} - end
shadow 200 - direct_response {"enforced_engine_result":"allowed","istio_dry_run_allow_shadow_engine_result":"allowed",\
"preenforced_engine_result":"allowed","dry.shadow_effective_policy_id":"sh","dry.shadow_engine_result":"allowed"} \
{"access_log_hint":false} end
log 200 - direct_response {"enforced_effective_policy_id":"l","enforced_engine_result":"allowed",\
"istio_dry_run_allow_shadow_engine_result":"allowed","preenforced_engine_result":"allowed","dry.shadow_engine_result":"denied"} \
{"access_log_hint":true} end
free 200 - direct_response {"enforced_engine_result":"allowed","istio_dry_run_allow_shadow_engine_result":"allowed"} \
{"access_log_hint":false} end
off 200 - direct_response {"enforced_engine_result":"allowed","istio_dry_run_allow_shadow_engine_result":"allowed"} \
{"access_log_hint":false} end
own 403 - rbac_access_denied_matched_policy[of_the_route] {"r_enforced_effective_policy_id":"of the\\troute",\
"r_enforced_engine_result":"denied","s_shadow_engine_result":"denied"} - end
own-in 200 - direct_response {"enforced_engine_result":"allowed","istio_dry_run_allow_shadow_engine_result":"allowed",\
"r_enforced_engine_result":"allowed","s_shadow_engine_result":"denied"} {"access_log_hint":false} end
grpc 200 - rbac_access_denied_matched_policy[a_b] {"preenforced_effective_policy_id":"a b","preenforced_engine_result":"denied",\
"dry.shadow_engine_result":"denied"} - end
"""
COUNTED = {"http.told.rbac.allowed": 6, "http.told.rbac.denied": 0, "http.told.rbac.pre.allowed": 4, "http.told.rbac.pre.denied": 3,
           "http.told.rbac.pre.policy.a b.denied": 2, "http.told.rbac.pre.policy.of the\troute.denied": 1,
           "http.told.rbac.dry.shadow_allowed": 1, "http.told.rbac.dry.shadow_denied": 6, "http.told.rbac.dry.policy.sh.shadow_allowed": 1,
           "http.told.rbac.istio_dry_run_allow_.shadow_allowed": 6, "http.told.rbac.istio_dry_run_allow_.shadow_denied": 0}


def sorted_fields(text):
    """Order of fields means nothing: a line's JSON with its fields in order."""
    return re.sub(r"\{(.*?)\}", lambda match: "{" + ",".join(sorted(match[1].split(","))) + "}", text)


def test_what_is_told(proxy):
    for case, target, headers in REQUESTS:
        answer = http1.request(proxy.listener_port("told"), "GET", target, [("x-case", case), *headers])
        if case == "grpc":
            assert (answer.status, answer.get("grpc-status"), answer.get("grpc-message")) == (200, "7", "RBAC: access denied")
    for line in LOGGED.splitlines():
        wait_until(lambda: sorted_fields(line) in sorted_fields(proxy.log()), f"the line {line}")
    stats = proxy.stats("rbac")
    assert {name: stats.get(name) for name in COUNTED} == COUNTED


def test_what_plugins_see(proxy):
    """Names with points are no steps of a path: only the whole message has them."""
    http1.request(proxy.listener_port("plugin"), "GET", "/", [("x-log", "1"), ("x-probe", "@request_headers property metadata")])
    whole = wait_until(lambda: re.findall("probe: 1 property: (.*)", proxy.log()), "the plugin's line")[-1]
    assert r"preenforced_engine_result\x12\x09\x1a\x07allowed" in whole and r"access_log_hint\x12\x02 \x01" in whole


def converse(port, *parts):
    """What an echo answers; b"" when the connection was closed."""
    with Client(port) as client:
        try:
            heard = [client.send(part).read(len(part)) for part in parts]
            assert client.end().rest() == b""
        except (EOFError, ConnectionError):
            return b""
    return b"".join(heard)


@pytest.mark.parametrize("name, heard, ended", [
    ("tcp-allow", b"onetwo", "- - -"),
    ("tcp-deny", b"", "rbac_access_denied_matched_policy[the_rest] - -"),
    ("tcp-nobody", b"", "rbac_access_denied_matched_policy[none] - -"),
    ("tcp-shadow", b"onetwo", '- {"dry_shadow_effective_policy_id":"p","dry_shadow_engine_result":"denied"} -'),
    ("tcp-log", b"onetwo", '- - {"access_log_hint":true}'),
    ("tcp-late", b"", "rbac_access_denied_matched_policy[none] - -"),
])
def test_connections(proxy, name, heard, ended):
    assert converse(proxy.listener_port(name), b"one", b"two") == heard
    wait_until(lambda: sorted_fields(f"{name} {ended} end") in sorted_fields(proxy.log()), "the access log")
    stats = proxy.stats(name)
    prefix = f"{name}.rbac."
    if name == "tcp-shadow":
        assert stats[prefix + "dry_.shadow_denied"] == 1 and stats[prefix + "allowed"] == stats[prefix + "denied"] == 0
    elif not heard:
        assert (stats[prefix + "allowed"], stats[prefix + "denied"]) == (0, 1)
    elif name == "tcp-log":  # asked again with what came later
        assert stats[prefix + "allowed"] >= 2 and stats[prefix + "denied"] == 0
    else:
        assert (stats[prefix + "allowed"], stats[prefix + "denied"]) == (1, 0)


def test_page(tmp_path):
    """The configuration of docs/access-control.md does what the page says."""
    with Upstream(echo_requests) as upstream:
        text = pages.with_ports(pages.block("access-control.md", "# access control"), {10000: 0, 8080: upstream.port})
        with Weir(tmp_path, text, level="debug") as weir:
            def status(method="GET", target="/", headers=()):
                return http1.request(weir.port, method, target, headers).status
            assert status(target="/docs/a.txt?x") == status("HEAD", "/docs/b") == status("POST", "/x", [("x-team", "ops")]) == 200
            assert status("POST", "/docs/a") == status(target="/docs") == status("GET", "/x", [("x-team", "dev")]) == 403
            assert status("POST", "/ready") == 200
            stats = weir.stats("rbac")
            assert stats == {
                "front.rbac.allowed": 7, "front.rbac.denied": 0, "front.rbac.shadow_allowed": 0, "front.rbac.shadow_denied": 0,
                "http.front.rbac.allowed": 3, "http.front.rbac.denied": 3, "http.front.rbac.shadow_allowed": 1,
                "http.front.rbac.shadow_denied": 5, "http.front.rbac.policy.operators.allowed": 1,
                "http.front.rbac.policy.readers.allowed": 2, "http.front.rbac.policy.text-only.shadow_allowed": 1}
            weir.wait_log(r"\[rbac\] .*checking connection: requestedServerName: , sourceIP: 127\.0\.0\.1:\d+, .*ssl: none")
            weir.wait_log(r"\[rbac\] .*checking request: .* ':path': '/docs/a\.txt\?x'")
            weir.wait_log(r"\[rbac\] .*enforced denied, matched policy none")
            weir.wait_log(r"\[rbac\] .*shadow allowed, matched policy text-only")
            weir.wait_log(r"\[rbac\] .*no engine, allowed by default")


def deep(count):
    rule = {"any": True}
    for _ in range(count):
        rule = {"not_rule": rule}
    return rule


def in_filter(**fields):
    return bootstrap(listener(hcm([direct()], filters=[rbac(**fields)])))


def in_route(config, **fields):
    return bootstrap(listener(hcm([{**direct(), "typed_per_filter_config": {"x": config}}], **fields)))


PATH = r"\.rules\.policies\{\"p\"\}\."
CEL = {**policy(), "condition": {"const_expr": {"bool_value": True}}}
CORS = {"name": "x", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.cors.v3.Cors"}}


@pytest.mark.parametrize("config, error", [
    (in_filter(rules={"policies": {"p": CEL}}), PATH + "condition: is refused: there are no CEL expressions"),
    (in_filter(matcher={}), r"\.matcher: is refused: matcher trees are not there yet"),
    (in_filter(shadow_matcher={}), r"\.shadow_matcher: is refused"),
    (in_filter(rules=may({"matcher": {"name": "x", "typed_config": {"@type": TEMPLATE}}})), PATH + r"permissions\[0\]\.matcher: is refused"),
    (in_filter(rules=may({"any": False})), PATH + r"permissions\[0\]\.any: must be true"),
    (in_filter(rules={"policies": {"p": {"permissions": [], "principals": ALL}}}), PATH + "permissions: must not be empty"),
    (in_filter(rules=may({"destination_port_range": {"start": 5, "end": 5}})), "from 5 to 5 are no ports"),
    (in_filter(rules=may({"destination_port_range": {"start": -1, "end": 5}})), "from -1 to 5 are no ports"),
    (in_filter(rules=may({"destination_port_range": {"start": 1, "end": 65537}})), "from 1 to 65537 are no ports"),
    (in_filter(rules=may(None, ip("remote_ip", "1.2.3", 8))), PATH + r"principals\[0\]\.remote_ip: \"1.2.3/8\" is no range"),
    (in_filter(rules=may(path(safe_regex={"regex": "("}))), r"url_path\.path: bad regular expression"),
    (in_filter(rules=may(template("x"))), r"uri_template: a template begins with /"),
    (in_filter(rules=may(None, mtls())), "needs a san_matcher"),
    (in_filter(rules=may(None, mtls_name("OTHER_NAME", exact="x"))), "OTHER_NAME is not there yet"),
    (in_filter(rules=may(deep(100))), "nested too deeply"),
    (in_route({"@type": RBAC + "PerRoute"}, filters=[CORS]), 'the filter "x" is no filter of access control'),
    (in_route({"@type": ANY + "envoy.config.route.v3.FilterConfig", "is_optional": True, "config": {"@type": RBAC + "PerRoute", "rbac": {
        "rules": may(path(safe_regex={"regex": "("}))}}}, filters=[rbac("x")]), "bad regular expression"),
    (bootstrap(tcp_listener(network("x", rules=may(None, {"not_id": exact("x", "y")})), tcp_proxy()), clusters=[cluster(1)]),
     r"not_id\.header: is for the HTTP filter; a connection has no headers"),
    (bootstrap(tcp_listener(network(""), tcp_proxy()), clusters=[cluster(1)]), "stat_prefix: must not be empty"),
])
def test_refused(tmp_path, config, error):
    result = validate(tmp_path, config)
    assert result.returncode == 1
    assert re.search(error, result.stdout + result.stderr), result.stderr


def test_many_policies(tmp_path):
    """The order is that of the names, not that of the configuration; an optional override is one too."""
    policies = {f"p{i:04}": policy(exact("x-a", str(i % 1000))) for i in reversed(range(4000))}
    optional = {"@type": ANY + "envoy.config.route.v3.FilterConfig", "is_optional": True,
                "config": {"@type": RBAC + "PerRoute", "rbac": {"rules": {}}}}
    routes = [{**direct(200, "in", "/optional"), "typed_per_filter_config": {"rbac": optional}}, direct(200, "in")]
    log = [stdout_log("%RESPONSE_CODE_DETAILS% end")]
    manager = hcm(routes, filters=[rbac(rules={"action": "DENY", "policies": policies})], access_log=log)
    with Weir(tmp_path, bootstrap(listener(manager))) as weir:
        with http1.Client(weir.port) as client:
            assert client.request("GET", "/", [("x-a", "999")]).status == 403
            assert client.request("GET", "/", [("x-a", "1000")]).status == 200
            assert client.request("GET", "/optional").status == 403
        weir.wait_log(r"rbac_access_denied_matched_policy\[p0999\] end")
        weir.wait_log(r"rbac_access_denied_matched_policy\[none\] end")

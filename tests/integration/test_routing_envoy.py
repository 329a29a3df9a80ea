# SPDX-License-Identifier: Apache-2.0
"""Routing beside real Envoy: every way to match, rewrite, redirect, answer and change headers. One configuration, the same
requests to both: the answer and what the upstream got must be equal. A known difference stands in DIFFERENT with its reason,
as in docs/compatibility.md, and the test fails when it is gone."""

import dataclasses
import json

import pytest

from support import envoy, tls
from support.config import ANY, bootstrap, cluster, hcm, listener
from support.http1 import Client, Closed
from support.process import Weir
from support.upstream import Upstream, refused_port, respond

VOLATILE = {"date", "x-envoy-upstream-service-time", "x-request-id"}


@dataclasses.dataclass
class Area:
    """One virtual host (its domain is its name) and what is asked of it."""
    name: str
    routes: list
    requests: list
    vhost: dict = dataclasses.field(default_factory=dict)
    front: str = "front"


def ask(path="/", host=None, method="GET", **headers):
    return {"path": path, "host": host, "method": method, "headers": [(k.replace("_", "-"), v) for k, v in headers.items()]}


def many(path, name, values):
    """One request for each value of a header; a list of values is the header several times, None is none."""
    requests = []
    for value in values:
        values = value if isinstance(value, list) else [] if value is None else [value]
        requests.append({**ask(path), "headers": [(name, v) for v in values]})
    return requests


def says(text, match, **fields):
    return {"match": match, "direct_response": {"status": 200, "body": {"inline_string": text}}, **fields}


def exact(text, **fields):
    return {"exact": text, **fields}


def to(match="/", cluster="echo", route=None, **action):
    """A forwarding route."""
    match = {"prefix": match} if isinstance(match, str) else match
    target = {} if cluster is None else {"cluster": cluster}
    return {"match": match, "route": {**target, **action}, **(route or {})}


def moved(match, route=None, **action):
    match = {"prefix": match} if isinstance(match, str) else match
    return {"match": match, "redirect": action, **(route or {})}


def regex(text):
    return {"regex": text}


def substitute(pattern, substitution):
    return {"pattern": regex(pattern), "substitution": substitution}


def template(text):
    return {"path_match_policy": {"name": "envoy.path.match.uri_template.uri_template_matcher", "typed_config": {
        "@type": ANY + "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": text}}}


def template_rewrite(text):
    return {"path_rewrite_policy": {"name": "envoy.path.rewrite.uri_template.uri_template_rewriter", "typed_config": {
        "@type": ANY + "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
        "path_template_rewrite": text}}}


def header(name, **fields):
    return {"name": name, **fields}


def put(name, value, action="APPEND_IF_EXISTS_OR_ADD", **fields):
    return {"header": {"key": name, "value": value}, "append_action": action, **fields}


REST = says("rest", {"prefix": "/"})
TLS_PATHS = ("/validated", "/presented", "/not-validated", "/not-presented", "/both")
PATHS = ["/", "/a", "/A", "/a/", "/a/b", "/a?x=1", "/ab", "/a/b/", "/a/b/c", "/A/B", "/a//b", "/a/b?x", "/%61", "/a%2Fb",
         "/a;v=1", "/x/y.m3u8", "/x/y.mp4", "/x/y=z", "/x/y*z", "/x/~-._!$&'()+,;:@", "/media/x/y/z.m3u8", "/media/z.m3u8",
         "/v1/users/7", "/v1/users/7/", "/v1/users/7/books/9", "/v1/users//books/9", "/v1/users", "/one/two/three/four"]
VALUES = [None, "", "abc", "ABC", "abcd", "xabc", "bc", "7", "-7", "7.0", "10", "11", " 7 ", ["abc", "def"], ["abc", "abc"],
          ["", ""], "abc,def", "a" * 300]


def by_headers():
    """A virtual host for each way to match a header."""
    ways = {
        "exact": {"string_match": exact("abc")},
        "exact-nocase": {"string_match": exact("aBc", ignore_case=True)},
        "exact-empty": {"string_match": exact("")},
        "prefix": {"string_match": {"prefix": "ab"}},
        "prefix-nocase": {"string_match": {"prefix": "AB", "ignore_case": True}},
        "suffix": {"string_match": {"suffix": "bc"}},
        "contains": {"string_match": {"contains": "bc"}},
        "contains-nocase": {"string_match": {"contains": "BC", "ignore_case": True}},
        "regex": {"string_match": {"safe_regex": regex("a.c|\\d+")}},
        "regex-of-a-list": {"string_match": {"safe_regex": regex("abc,def")}},
        "old-exact": {"exact_match": "abc"},
        "old-prefix": {"prefix_match": "ab"},
        "old-suffix": {"suffix_match": "bc"},
        "old-contains": {"contains_match": "bc"},
        "old-regex": {"safe_regex_match": regex("[a-z]+")},
        "range": {"range_match": {"start": -7, "end": 11}},
        "present": {"present_match": True},
        "absent": {"present_match": False},
        "nothing": {},
    }
    areas = []
    for name, way in ways.items():
        for extra in ({}, {"invert_match": True}, {"treat_missing_header_as_empty": True},
                      {"invert_match": True, "treat_missing_header_as_empty": True}):
            tail = "".join("-" + k.split("_")[0] for k in extra)
            areas.append(Area(f"header-{name}{tail}", [says("yes", {"prefix": "/", "headers": [header("x-a", **way, **extra)]}),
                                                       says("no", {"prefix": "/"})], many("/", "x-a", VALUES)))
    return areas


def by_query():
    ways = {
        "exact": {"string_match": exact("1")},
        "exact-empty": {"string_match": exact("")},
        "nocase": {"string_match": exact("Abc", ignore_case=True)},
        "prefix": {"string_match": {"prefix": "1"}},
        "suffix": {"string_match": {"suffix": "1"}},
        "contains": {"string_match": {"contains": "%20"}},
        "regex": {"string_match": {"safe_regex": regex("[0-9]+")}},
        "present": {"present_match": True},
        "absent": {"present_match": False},
        "nothing": {},
    }
    asked = ["/", "/?", "/?a", "/?a=", "/?a=1", "/?a=1&a=2", "/?a=2&a=1", "/?b=1", "/?b&a=1", "/?a=abc", "/?A=1", "/?%61=1",
             "/?a=x%20y", "/?a=x+y", "/?a=12&b", "/?aa=1", "/?a==1", "/?&a=1", "/?a=1&", "/?a%3D1", "/?c;a=1"]
    return [Area(f"query-{name}", [says("yes", {"prefix": "/", "query_parameters": [{"name": "a", **way}]}),
                                   says("no", {"prefix": "/"})], [ask(path) for path in asked]) for name, way in ways.items()]


def by_cookies():
    ways = {"exact": [{"name": "a", "string_match": exact("1")}],
            "exact-empty": [{"name": "a", "string_match": exact("")}],
            "regex": [{"name": "a", "string_match": {"safe_regex": regex("[0-9]+")}}],
            "invert": [{"name": "a", "string_match": exact("1"), "invert_match": True}],
            "both": [{"name": "a", "string_match": {"prefix": "1"}}, {"name": "b", "string_match": {"suffix": "2"}}]}
    asked = [None, "", "a", "a=", "a=1", "A=1", "a=1; b=2", "b=2;a=1", "a=2; a=1", "a=1; a=2", 'a="1"', 'a="1', "a= 1", "a =1", " a=1", "a=1 ",
             "a=1;", ";a=1", "a==1", "b=a=1", "aa=1", "a=12; b=22", "a=1, b=2", ["a=1", "b=2"], ["b=2", "a=2", "a=1"]]
    return [Area(f"cookies-{name}", [says("yes", {"prefix": "/", "cookies": way}), says("no", {"prefix": "/"})],
                 many("/", "cookie", asked)) for name, way in ways.items()]


TEMPLATES = ["/a", "/*", "/**", "/a/*", "/a/**", "/*/b", "/v1/users/{id}", "/v1/users/{id}/books/{book}", "/{a}/{b=two/*}/four",
             "/media/{rest=**}.m3u8", "/x/*.m3u8", "/{whole=**}", "/a/", "/x/{v=*}", "/x/y{v}", "/x/y.{v}8", "/a{v=**}", "/x/{v}=z",
             "/v1/u{v}s/*", "/{v=x/*}.m3u8"]
PATH_AREAS = [
    Area("prefix", [says("a", {"prefix": "/a"}), says("v", {"prefix": "/v1/users/"}), REST], [ask(p) for p in PATHS]),
    Area("prefix-nocase", [says("a", {"prefix": "/A/b", "case_sensitive": False}), REST], [ask(p) for p in PATHS]),
    Area("path", [says("a", {"path": "/a"}), says("ab", {"path": "/a/b"}), REST], [ask(p) for p in PATHS]),
    Area("path-nocase", [says("a", {"path": "/A", "case_sensitive": False}), REST], [ask(p) for p in PATHS]),
    Area("separated", [says("a", {"path_separated_prefix": "/a"}), says("v", {"path_separated_prefix": "/v1/users"}), REST],
         [ask(p) for p in PATHS]),
    Area("separated-nocase", [says("a", {"path_separated_prefix": "/A/B", "case_sensitive": False}), REST],
         [ask(p) for p in PATHS]),
    Area("regex", [says("one", {"safe_regex": regex("/a/?")}), says("two", {"safe_regex": regex("/a/[^/]+")}),
                   says("three", {"safe_regex": regex("/v\\d/users/(\\d+)(/.*)?")}), REST], [ask(p) for p in PATHS]),
    Area("regex-nocase", [says("one", {"safe_regex": regex("/a/B"), "case_sensitive": False}), REST], [ask(p) for p in PATHS]),
    Area("no-rest", [says("a", {"path": "/a"})], [ask(p) for p in PATHS[:6]]),
    *[Area(f"template-{i}", [says("yes", template(text)), REST], [ask(p) for p in PATHS]) for i, text in enumerate(TEMPLATES)],
]

GRPC = [None, "application/grpc", "application/grpc+proto", "application/grpcx", "application/grpc-web", "application/json",
        "Application/grpc", "application/grpc; x"]
MATCH_AREAS = [
    Area("grpc", [says("grpc", {"prefix": "/", "grpc": {}}), REST], many("/", "content-type", GRPC)),
    Area("several", [says("both", {"prefix": "/a", "headers": [header("x-a", string_match=exact("1")),
                                                                header(":method", string_match=exact("GET"))],
                                   "query_parameters": [{"name": "q", "string_match": exact("1")}]}), REST],
         [ask("/a?q=1", x_a="1"), ask("/a?q=1"), ask("/a", x_a="1"), ask("/a?q=1", method="POST", x_a="1"), ask("/b?q=1", x_a="1")]),
    Area("pseudo", [says("host", {"prefix": "/", "headers": [header("host", string_match=exact("pseudo"))]}),
                    says("authority", {"prefix": "/", "headers": [header(":authority", string_match=exact("pseudo"))]}),
                    says("scheme", {"prefix": "/", "headers": [header(":scheme", string_match=exact("http"))]}), REST], [ask()]),
    Area("path-header", [says("query", {"prefix": "/", "headers": [header(":path", string_match=exact("/a?b=1"))]}), REST],
         [ask("/a?b=1"), ask("/a"), ask("/a?b=2")]),
    Area("fraction", [says("never", {"path": "/never", "runtime_fraction": {"default_value": {"numerator": 0}}}),
                      says("always", {"path": "/always", "runtime_fraction": {"default_value": {"numerator": 100}}}),
                      says("million", {"path": "/million", "runtime_fraction": {
                          "default_value": {"numerator": 1000000, "denominator": "MILLION"}}}),
                      says("more", {"path": "/more", "runtime_fraction": {"default_value": {"numerator": 200}}}), REST],
         [ask(p) for p in ("/never", "/always", "/million", "/more")] * 2),
    Area("runtime", [says(key, {"path": f"/{key}", "runtime_fraction": {
        "default_value": {"numerator": default}, "runtime_key": f"cmp.{key}"}}) for key, default in (
            ("zero", 100), ("all", 0), ("much", 0), ("fraction", 0), ("fraction_zero", 100), ("missing", 100), ("deep.key", 0),
            ("later", 100))] + [REST],
         [ask(f"/{key}") for key in ("zero", "all", "much", "fraction", "fraction_zero", "missing", "deep.key", "later")]),
    Area("tls-absent", [says("presented", {"prefix": "/", "tls_context": {"presented": True}}),
                        says("validated", {"prefix": "/", "tls_context": {"validated": True}}),
                        says("neither", {"prefix": "/", "tls_context": {"presented": False, "validated": False}}), REST],
         [ask()]),
    Area("state-absent", [says("metadata", {"prefix": "/", "dynamic_metadata": [
        {"filter": "a", "path": [{"key": "b"}], "value": {"present_match": True}}]}),
                          says("state", {"prefix": "/", "filter_state": [{"key": "k", "string_match": exact("")}]}),
                          says("inverted", {"prefix": "/", "dynamic_metadata": [
                              {"filter": "a", "path": [{"key": "b"}], "value": {"null_match": {}}, "invert": True}]}), REST],
         [ask()]),
    Area("non-forwarding", [{"match": {"path": "/none"}, "non_forwarding_action": {}}, REST], [ask("/none"), ask("/")]),
    Area("index", [says(str(i), {"prefix": f"/p{i}"} if i % 3 == 0 else {"path": f"/p{i}"} if i % 3 == 1 else
                        {"safe_regex": regex(f"/p{i}/?")}) for i in range(40)] + [REST],
         [ask(f"/p{i}{tail}") for i in (0, 1, 2, 3, 11, 12, 30, 31, 39, 40) for tail in ("", "/", "x")]),
]

HOSTS = ["exact.example", "EXACT.example", "exact.example:80", "exact.example:8080", "port.example:8080", "port.example",
         "a.suffix.example", "suffix.example", ".suffix.example", "a.b.suffix.example", "x.b.suffix.example", "prefix.one",
         "prefix.", "prefix.one:80", "x-dash.example", "-dash.example", "unknown", "", "[::1]", "[::1]:80", "a.suffix.example:80"]
HOST_VHOSTS = [("exact", ["exact.example", "other.example"]), ("port", ["port.example:8080"]), ("suffix", ["*.suffix.example"]),
               ("longer", ["*.b.suffix.example"]), ("prefix", ["prefix.*"]), ("dash", ["*-dash.example"]), ("v6", ["[::1]"])]

REWRITE_PATHS = ["/a", "/a/", "/a/b", "/a?q=1", "/a/b?q=/a", "/abc", "/a/b/c/d"]
REWRITES = {
    "prefix": {"prefix_rewrite": "/new"},
    "prefix-slash": {"prefix_rewrite": "/"},
    "prefix-end-slash": {"prefix_rewrite": "/new/"},
    "prefix-none": {"prefix_rewrite": ""},
    "regex": {"regex_rewrite": substitute("^/a/(.*)$", "/b/\\1")},
    "regex-all": {"regex_rewrite": substitute("a", "xx")},
    "regex-order": {"regex_rewrite": substitute("/([^/]+)/([^/]+)", "/\\2/\\1")},
    "regex-none": {"regex_rewrite": substitute("zzz", "y")},
    "regex-whole": {"regex_rewrite": substitute(".*", "/w\\0")},
    "regex-backslash": {"regex_rewrite": substitute("/a", "/\\\\")},
}
MATCHES = {"prefix": {"prefix": "/a"}, "path": {"path": "/a"}, "separated": {"path_separated_prefix": "/a"},
           "regex": {"safe_regex": regex("/a.*")}, "nocase": {"prefix": "/A", "case_sensitive": False}}
TEMPLATE_REWRITES = [
    ("/v1/users/{id}", "/u/{id}", ["/v1/users/7", "/v1/users/7?q=1", "/v1/users/a%20b?x"]),
    ("/v1/{kind}/{id}/{rest=**}", "/{rest}/{id}-{kind}", ["/v1/users/7/books/9", "/v1/users/7/books/9?a=b", "/v1/users/7/"]),
    ("/media/{rest=**}.m3u8", "/m{rest}/x.m3u8", ["/media/a/b.m3u8", "/media/a.b.m3u8"]),
    ("/{whole=a/*}", "/x/{whole}/{whole}", ["/a/b", "/a/b?f"]),
    ("/c/{id}", "/same", ["/c/1", "/c/1?x=1"]),
    ("/d/{v=**}", "/e/{v}", ["/d/", "/d/1/2", "/d/1/2?3"]),
]
HOST_REWRITES = {
    "literal": {"host_rewrite_literal": "new.example"},
    "header": {"host_rewrite_header": "x-host"},
    "auto": {"auto_host_rewrite": True},
    "auto-off": {"auto_host_rewrite": False},
    "path": {"host_rewrite_path_regex": substitute("^/([^/]+)/.*$", "\\1.example")},
}
REWRITE_AREAS = [
    *[Area(f"rewrite-{kind}-{name}", [to(match, **action), says("rest", {"prefix": "/"})], [ask(p) for p in REWRITE_PATHS])
      for kind, match in MATCHES.items() for name, action in REWRITES.items()],
    *[Area(f"rewrite-template-{i}", [to(template(match), **template_rewrite(text)), says("rest", {"prefix": "/"})],
           [ask(p) for p in paths]) for i, (match, text, paths) in enumerate(TEMPLATE_REWRITES)],
    Area("template-regex", [to(template("/v1/{x}"), regex_rewrite=substitute("v1", "v2"))], [ask("/v1/abcdef?v1")]),
    *[Area(f"host-{name}{'-xfh' if append else ''}", [to("/", append_x_forwarded_host=append, **action)],
           [ask("/a/b"), ask("/a/b", x_host="from.header"), ask("/", x_forwarded_host="old.example"),
            ask("/", x_forwarded_host=f"x, host-{name}-xfh"), ask("/?q", x_envoy_original_host="forged")])
      for name, action in HOST_REWRITES.items() for append in (False, True)],
    Area("host-literal-cluster", [to("/", cluster="named", auto_host_rewrite=True, append_x_forwarded_host=True)], [ask("/x")]),
    Area("both", [to("/a", prefix_rewrite="/b", host_rewrite_literal="h", append_x_forwarded_host=True)], [ask("/a?1"), ask("/a/c")]),
    Area("original-path", [to("/a", prefix_rewrite="/b")], [ask("/a", x_envoy_original_path="/forged")]),
    Area("quiet-rewrite", [to("/a", prefix_rewrite="/b", host_rewrite_literal="h")], [ask("/a?1", x_envoy_original_path="/f")],
         front="quiet"),
    Area("attempts", [to("/")], [ask(), ask(x_envoy_attempt_count="9")],
         vhost={"include_request_attempt_count": True, "include_attempt_count_in_response": True}),
]

REDIRECT_HOSTS = [None, "HOST:80", "HOST:443", "HOST:8080", "HOST:"]
REDIRECTS = {
    "https": {"https_redirect": True},
    "https-off": {"https_redirect": False, "host_redirect": "h"},
    "https-port": {"https_redirect": True, "port_redirect": 8443},
    "https-443": {"https_redirect": True, "port_redirect": 443},
    "http-80": {"scheme_redirect": "http", "port_redirect": 80},
    "scheme": {"scheme_redirect": "ftp"},
    "host": {"host_redirect": "new.example"},
    "host-port": {"host_redirect": "new.example:81"},
    "host-and-port": {"host_redirect": "new.example", "port_redirect": 81},
    "port": {"port_redirect": 81},
    "path": {"path_redirect": "/p"},
    "path-query": {"path_redirect": "/p?z=1"},
    "path-fragment": {"path_redirect": "/p#f"},
    "path-strip": {"path_redirect": "/p", "strip_query": True},
    "prefix": {"prefix_rewrite": "/new"},
    "prefix-slash": {"prefix_rewrite": "/"},
    "prefix-strip": {"prefix_rewrite": "/new", "strip_query": True},
    "regex": {"regex_rewrite": substitute("^/a/(.*)$", "/r/\\1")},
    "regex-strip": {"regex_rewrite": substitute("a", "b"), "strip_query": True},
    "strip": {"strip_query": True, "host_redirect": "h"},
    "all": {"https_redirect": True, "host_redirect": "n.example", "port_redirect": 99, "path_redirect": "/q", "strip_query": True,
            "response_code": "PERMANENT_REDIRECT"},
    **{code.lower().replace("_", "-"): {"response_code": code, "path_redirect": "/c"} for code in (
        "MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT")},
}
REDIRECT_AREAS = [
    *[Area(f"redirect-{name}", [moved("/a", **action), says("rest", {"prefix": "/"})],
           [ask(p) for p in ("/a", "/a/b?q=1", "/a?q=1&r", "/ab", "/a?")] +
           [ask("/a/x?y", host=h and h.replace("HOST", f"redirect-{name}")) for h in REDIRECT_HOSTS] +
           [ask("/a", method="POST"), ask("/a", method="HEAD")],
           vhost={"domains": [f"redirect-{name}{port}" for port in ("", ":80", ":443", ":8080", ":")]})
      for name, action in REDIRECTS.items()],
    *[Area(f"redirect-prefix-{kind}", [moved(match, prefix_rewrite="/n"), says("rest", {"prefix": "/"})],
           [ask(p) for p in REWRITE_PATHS]) for kind, match in MATCHES.items()],
    Area("redirect-template", [moved(template("/v2/{x}"), regex_rewrite=substitute("v2", "v3"))], [ask("/v2/abc?v2")]),
    Area("require-tls", [says("in", {"prefix": "/"})], [ask("/a?b"), ask("/", x_forwarded_proto="https"), ask("/", method="POST")],
         vhost={"require_tls": "ALL"}),
    Area("require-tls-external", [says("in", {"prefix": "/"})],
         [ask("/a?b"), ask("/", x_envoy_internal="true"), ask("/", x_forwarded_for="1.2.3.4"), ask("/", x_forwarded_proto="https")],
         vhost={"require_tls": "EXTERNAL_ONLY"}),
]


def answers(status, match, body="text", route=None, **fields):
    source = {} if body is None else {"body": {"inline_string": body}}
    return {"match": {"path": match}, "direct_response": {"status": status, **source, **fields}, **(route or {})}


STATUSES = (200, 201, 202, 205, 206, 301, 307, 400, 404, 418, 503, 599)  # no body goes out with 204 and 304
DIRECT_AREAS = [
    Area("direct", [answers(status, f"/{status}") for status in STATUSES],
         [ask(f"/{s}{q}", method=m) for s in STATUSES
          for m, q in (("GET", ""), ("HEAD", ""), ("POST", "?a=b"))]),
    Area("direct-empty", [answers(200, "/none", None), answers(404, "/empty", ""), answers(204, "/204", None), answers(304, "/304", None)],
         [ask(p) for p in ("/none", "/empty", "/other", "/204", "/304")]),
    Area("direct-headers", [answers(200, "/a", route={
        "response_headers_to_add": [put("x-r", "%REQ(X-IN)%"), put("content-type", "a/b", "OVERWRITE_IF_EXISTS_OR_ADD")],
        "request_headers_to_add": [put("x-in", "changed")]})], [ask("/a"), ask("/a", x_in="1"), ask("/a", method="HEAD")]),
    Area("direct-type", [answers(200, "/a", route={"response_headers_to_add": [
        put("content-type", "a/b", "ADD_IF_ABSENT")]}), answers(200, "/b", route={"response_headers_to_remove": ["content-type"]})],
         [ask("/a"), ask("/b")]),
    Area("direct-format", [answers(200, "/text", "B", body_format={"text_format_source": {
        "inline_string": "%LOCAL_REPLY_BODY% %RESPONSE_CODE% %REQ(:PATH)%"}}),
                           answers(404, "/json", "B", body_format={"json_format": {"body": "%LOCAL_REPLY_BODY%", "n": "%RESPONSE_CODE%"}}),
                           answers(200, "/typed", "B", body_format={"text_format_source": {"inline_string": "x"},
                                                                    "content_type": "a/b; charset=x"})],
         [ask("/text"), ask("/text?q", method="HEAD"), ask("/json"), ask("/typed")]),
]

ACTIONS = ["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"]
FORMATS = ["%REQ(X-A)%", "%REQ(X-NONE?X-A)%", "%REQ(X-NONE)%", "%PROTOCOL%", "100%%", "%REQ(:PATH):3%", "%REQ(:METHOD)% %REQ(:AUTHORITY)%",
           "%ROUTE_NAME%", "%UPSTREAM_CLUSTER%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
           "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "%BYTES_RECEIVED%",
           "%REQ(X-A)%-%REQ(X-A)%", "%REQUESTED_SERVER_NAME%", "%RESPONSE_FLAGS%", "%START_TIME(%Y)%", "plain", "%RESP(X-A)%",
           "%HOSTNAME%", "%RESPONSE_CODE%", "%FILTER_STATE(x)%", "%DYNAMIC_METADATA(a:b)%", "%REQ(X-A?X-B):1%", "%TRAILER(x)%",
           "%DOWNSTREAM_PEER_SUBJECT%", "%RESPONSE_CODE_DETAILS%", "%CONNECTION_TERMINATION_DETAILS%", "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"]


def level(name):
    """Header changes of one level, each recognizable."""
    return {"request_headers_to_add": [put("x-level", name), put("x-over", name, "OVERWRITE_IF_EXISTS_OR_ADD"),
                                       put("x-absent", name, "ADD_IF_ABSENT")],
            "response_headers_to_add": [put("x-level", name), put("x-over", name, "OVERWRITE_IF_EXISTS_OR_ADD"),
                                        put("x-absent", name, "ADD_IF_ABSENT"), put("x-up", name, "OVERWRITE_IF_EXISTS")],
            "request_headers_to_remove": [f"x-remove-{name}"], "response_headers_to_remove": [f"x-drop-{name}"]}


LEVEL_HEADERS = {f"x_remove_{n}": n for n in ("weighted", "route", "vhost", "table")}
HEADER_AREAS = [
    *[Area(f"add-{action.lower().replace('_', '-')}", [to("/", route={
        "request_headers_to_add": [put("x-a", "new", action), put("x-b", "%REQ(X-A)%", action), put("x-e", "", action),
                                   put("x-k", "", action, keep_empty_value=True), put("X-Upper", "U", action)],
        "response_headers_to_add": [put("x-up", "new", action), put("x-none", "n", action), put("x-e", "", action),
                                    put("x-k", "", action, keep_empty_value=True), put("server", "s", action)]})],
           [ask(), ask(x_a="old"), ask(x_a="old", x_e="old", x_k="old"), {**ask(), "headers": [("x-a", "1"), ("x-a", "2"), ("x-b", "3")]},
            ask(x_a="")]) for action in ACTIONS],
    Area("add-old", [to("/", route={"request_headers_to_add": [
        {"header": {"key": "x-a", "value": "1"}}, {"header": {"key": "x-b", "value": "2"}, "append": False},
        {"header": {"key": "x-c", "value": "3"}, "append": True}]})], [ask(), ask(x_a="o", x_b="o", x_c="o")]),
    Area("remove", [to("/", route={"request_headers_to_remove": ["x-a", "User-Agent", "x-forwarded-for", "accept"],
                                   "response_headers_to_remove": ["x-up", "content-type", "server"]})],
         [ask(), ask(x_a="1", user_agent="u", accept="a"), {**ask(), "headers": [("x-a", "1"), ("X-A", "2")]}]),
    Area("remove-and-add", [to("/", route={"request_headers_to_remove": ["x-a"], "request_headers_to_add": [put("x-a", "new")],
                                           "response_headers_to_remove": ["x-up"], "response_headers_to_add": [put("x-up", "new")]})],
         [ask(), ask(x_a="old")]),
    *[Area(f"format-{i}", [to("/", route={"name": "named", "request_headers_to_add": [put("x-f", text)],
                                          "response_headers_to_add": [put("x-f", text)]})],
           [ask("/path?q=1"), ask("/p", x_a="value", x_b="b"), ask("/long/path", method="POST", x_a="")])
      for i, text in enumerate(FORMATS)],
    *[Area(f"levels-{front}", [{**to("/", cluster=None, weighted_clusters={"clusters": [{"name": "echo", "weight": 1, **level("weighted")}]}),
                                **level("route")}], [ask(), ask(x_level="own", x_over="own", x_absent="own", **LEVEL_HEADERS)],
           vhost=level("vhost"), front=front) for front in ("table", "specific")],
    Area("levels-direct", [{**says("d", {"prefix": "/"}), **level("route")}], [ask()], vhost=level("vhost"), front="table"),
    Area("levels-redirect", [{**moved("/", path_redirect="/x"), **level("route")}], [ask()], vhost=level("vhost"), front="specific"),
    Area("levels-none", [to("/nowhere")], [ask()], vhost=level("vhost"), front="table"),
    Area("internal-only", [to("/")], [ask(x_secret="1"), ask(x_secret="1", x_forwarded_for="1.2.3.4"), ask(X_SECRET="1")], front="table"),
]


def shares(*clusters, **fields):
    return [to("/", cluster=None, weighted_clusters={"clusters": list(clusters), **fields})]


CLUSTER_AREAS = [
    Area("weights-zero", shares({"name": "echo", "weight": 0}, {"name": "named", "weight": 5}), [ask()] * 3),
    Area("weights-header", shares({"name": "echo", "weight": 30}, {"name": "named", "weight": 50}, {"name": "third", "weight": 20},
                                  header_name="x-pick"),
         many("/", "x-pick", ["0", "29", "30", "79", "80", "99", "100", "129", "130", "4294967295", "18446744073709551615", ["0", "99"]])),
    Area("weights-host", shares({"name": "echo", "weight": 1, "host_rewrite_literal": "w.example"}), [ask()]),
    Area("weights-host-both", [to("/", cluster=None, host_rewrite_literal="route.example", append_x_forwarded_host=True,
                                  weighted_clusters={"clusters": [{"name": "echo", "weight": 1, "host_rewrite_literal": "w.example"}]})],
         [ask()]),
    Area("weights-cluster-header", shares({"cluster_header": "x-to", "weight": 1}), many("/", "x-to", ["echo", "named", "nobody", None, ""])),
    Area("weights-runtime", shares({"name": "echo", "weight": 100}, {"name": "named", "weight": 0}, runtime_key_prefix="cmp.weights"),
         [ask()] * 3),
    *[Area(f"weights-hash-{name}", [to("/", cluster=None, hash_policy=policies, weighted_clusters={
        "use_hash_policy": use, "clusters": [{"name": "echo", "weight": 30}, {"name": "named", "weight": 50}, {"name": "third", "weight": 20}]})],
           many("/?q=1", "x-h", [str(i) for i in range(20)]))
      for name, use, policies in (("header", True, [{"header": {"header_name": "x-h"}}]),
                                  ("query", True, [{"query_parameter": {"name": "q"}}]),
                                  ("both", True, [{"header": {"header_name": "x-h"}}, {"query_parameter": {"name": "q"}}]))],
    Area("weights-total", shares({"name": "echo", "weight": 1}, total_weight=1), [ask()]),
    Area("cluster-header", [to("/", cluster=None, cluster_header="x-to")], many("/", "x-to", ["echo", "named", "nobody", None, "", ["named", "echo"]])),
    Area("cluster-header-host", [to("/", cluster=None, cluster_header=":authority")], [ask(), ask(host="echo"), ask(host="echo:80")],
         vhost={"domains": ["cluster-header-host", "echo", "echo:80"]}),
    *[Area(f"not-found-{code.lower().replace('_', '-')}", [to("/", cluster=None, cluster_header="x-to", cluster_not_found_response_code=code)],
           [ask(), ask(x_to="nobody"), ask(x_to="nobody", method="HEAD")])
      for code in ("SERVICE_UNAVAILABLE", "NOT_FOUND", "INTERNAL_SERVER_ERROR")],
    Area("no-hosts", [to("/", cluster="empty")], [ask(), ask(method="HEAD"), ask(content_type="application/grpc", method="POST")]),
]

REPLIES = ["/404", "/503", "/refused", "/none", "/200", "/up", "/grpc", "/403"]
REPLY_ROUTES = [answers(404, "/404", "not here"), answers(503, "/503", ""), answers(200, "/200"), answers(403, "/403", "forbidden"),
                to({"path": "/refused"}, cluster="refused"), to({"path": "/none"}, cluster="empty"), to({"path": "/up"})]


def status_filter(value, op="EQ"):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "none"}}}}


def mapped(name, **local_reply_config):
    return name, local_reply_config


REPLY_FRONTS = dict([
    mapped("reply-format", body_format={"text_format_source": {"inline_string": "%RESPONSE_CODE% %LOCAL_REPLY_BODY% %REQ(:PATH)%\n"}}),
    mapped("reply-json", body_format={"json_format": {"code": "%RESPONSE_CODE%", "body": "%LOCAL_REPLY_BODY%", "path": "%REQ(:PATH)%",
                                                      "flags": "%RESPONSE_FLAGS%", "nested": {"a": "x%RESPONSE_CODE%"}}}),
    mapped("reply-mapped", mappers=[
        {"filter": status_filter(404), "status_code": 401, "body": {"inline_string": "mapped 404"}},
        {"filter": status_filter(503, "GE"), "headers_to_add": [put("x-mapped", "%RESPONSE_CODE%"), put("server", "m", "OVERWRITE_IF_EXISTS_OR_ADD")],
         "body_format_override": {"text_format_source": {"inline_string": "over %LOCAL_REPLY_BODY%"}, "content_type": "x/y"}},
        {"filter": {"header_filter": {"header": header("x-map", present_match=True)}}, "status_code": 418}]),
    mapped("reply-both", mappers=[{"filter": {"and_filter": {"filters": [status_filter(400, "GE"), status_filter(500, "LE")]}},
                                   "status_code": 400}],
           body_format={"text_format_source": {"inline_string": "[%LOCAL_REPLY_BODY%]"}, "content_type": "text/html"}),
    mapped("reply-flags", mappers=[{"filter": {"response_flag_filter": {"flags": ["UF", "NR"]}}, "status_code": 599,
                                    "headers_to_add": [put("x-flags", "%RESPONSE_FLAGS%")]},
                                   {"filter": {"or_filter": {"filters": [status_filter(403), {"response_flag_filter": {}}]}},
                                    "body": {"inline_string": ""}}]),
])
REPLY_AREAS = [Area(f"{front}-host", REPLY_ROUTES, [ask(p, method=m) for p in REPLIES for m in ("GET", "HEAD")] +
                    [ask("/404", x_map="1"), ask("/200", x_map="1"), ask("/nothing", x_map="1"),
                     ask("/404", method="POST", content_type="application/grpc"), ask("/refused", method="POST", content_type="application/grpc")],
                    front=front) for front in REPLY_FRONTS]

PORT_AREAS = [Area("port-host", [says("ports", {"prefix": "/"})],
                   [ask(host=h) for h in ("port-host", "port-host:80", "port-host:8080", "PORT-HOST:1", "port-host:", "[::1]:80", "x")],
                   vhost={"domains": ["port-host", "[::1]"]}, front="ports")]


def by_vhost_header():
    routes = [says("it", {"prefix": "/"})]
    requests = many("/", "x-vhost", [None, "by-header", "By-Header", "by-header:80", "other", "", ["other", "by-header"]])
    yield Area("by-header", routes, requests, front="vhost")
    yield Area("*", routes, [{**r, "host": "a"} for r in requests], front="only")


def by_path_without_parameters():
    routes = [says("exact", {"path": "/a"}), says("separated", {"path_separated_prefix": "/b"}), says("prefix", {"prefix": "/d/"}),
              says("regex", {"safe_regex": {"regex": "/c[0-9]+"}}), REST]
    paths = ("/a;x=1", "/a;x;y/", "/a;?/b", "/;x/a", "/b;1/c;2/d", "/c;1/2", "/d/;1/x", "/d;x", "/d;/", "/a;x?y", "/a?x;y", "/a/;x", "/b;v=1/c", "/b/c;x", "/c12;x", "/c;12", "/d/;x", "/d;x/", "/;a", "/e;")
    yield Area("parameters", routes, [ask(path) for path in paths], front="parameters")


AREAS = [*PATH_AREAS, *by_headers(), *by_query(), *by_cookies(), *MATCH_AREAS, *REWRITE_AREAS, *REDIRECT_AREAS, *DIRECT_AREAS, *HEADER_AREAS,
         *CLUSTER_AREAS, *REPLY_AREAS, *PORT_AREAS,
         *by_vhost_header(), *by_path_without_parameters()]
DIFFERENT = {
    # A path that the pattern does not match would become the host as it is.
    "host-path": "a host that no header may have is not sent", "host-path-xfh": "a host that no header may have is not sent",
}

RUNTIME = {"layers": [
    {"name": "first", "static_layer": {"cmp": {"later": 100}, "cmp.all": 100}},
    {"name": "second", "static_layer": {"cmp.zero": 0, "cmp.much": 500, "cmp.fraction": {"numerator": 1000000, "denominator": "MILLION"},
                                        "cmp": {"fraction_zero": {"numerator": 0}, "deep": {"key": 100}, "later": 0,
                                                "weights": {"echo": 0, "named": 100}}}}]}


def tell(connection):
    """Answers with what was asked, in a fixed order, and some headers to change."""
    while (asked := connection.read_request()) is not None:
        fields = sorted((k.lower(), v) for k, v in asked.headers if k.lower() not in VOLATILE)
        headers = [("x-up", "1"), ("x-up", "2"), ("content-type", "text/plain"), *[(f"x-drop-{n}", n) for n in ("weighted", "route", "vhost", "table")]]
        respond(connection, headers=headers, body=json.dumps([asked.start, fields]))


def configuration(port, dead, authority):
    fronts = {"front": {}, "quiet": {}, "table": {"route_config": {**level("table"), "internal_only_headers": ["x-secret"]}},
              "specific": {"route_config": {**level("table"), "most_specific_header_mutations_wins": True}},
              "ports": {"route_config": {"ignore_port_in_host_matching": True}},
              "vhost": {"route_config": {"ignore_port_in_host_matching": True, "vhost_header": "X-Vhost"}},
              "only": {"route_config": {"vhost_header": "x-vhost"}},
              "parameters": {"route_config": {"ignore_path_parameters_in_path_matching": True}},
              **{name: {"local_reply_config": config} for name, config in REPLY_FRONTS.items()}}
    listeners = []
    for name, fields in fronts.items():
        hosts = [{"name": a.name, "domains": [a.name], "routes": a.routes, **a.vhost} for a in AREAS if a.front == name]
        if name == "front":
            hosts += [{"name": n, "domains": d, "routes": [says(n, {"prefix": "/"})]} for n, d in HOST_VHOSTS]
        manager = hcm(virtual_hosts=hosts, **{k: v for k, v in fields.items() if k != "route_config"})
        manager["route_config"].update(fields.get("route_config", {}))
        if name == "quiet":
            manager["http_filters"][-1] = {"name": "envoy.filters.http.router", "typed_config": {
                "@type": ANY + "envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}}
        listeners.append(listener(manager, name=name))
    certificate = authority.issue("server")
    for name, trust in (("tls", None), ("tls-ca", authority.certificate)):
        manager = hcm(virtual_hosts=[{"name": "all", "domains": ["*"], "routes": [
            says("validated", {"path": "/validated", "tls_context": {"validated": True}}),
            says("presented", {"path": "/presented", "tls_context": {"presented": True}}),
            says("not validated", {"path": "/not-validated", "tls_context": {"validated": False}}),
            says("not presented", {"path": "/not-presented", "tls_context": {"presented": False}}),
            says("both", {"path": "/both", "tls_context": {"presented": True, "validated": True}}), REST]}])
        common = {} if trust is None else {"validation_context": {
            "trusted_ca": {"filename": str(trust)}, "trust_chain_verification": "ACCEPT_UNTRUSTED"}}
        front = listener(manager, name=name)
        front["filter_chains"][0]["transport_socket"] = tls.downstream(certificate.entry(), common=common)
        listeners.append(front)
    named = cluster(port, name="named", type="STRICT_DNS", dns_lookup_family="V4_ONLY")
    named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] = "localhost"
    clusters = [cluster(port, name="echo"), named, cluster(port, name="third"), cluster(dead, name="refused"), cluster(name="empty")]
    return {**bootstrap(*listeners, clusters=clusters), "layered_runtime": RUNTIME}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Both proxies: {name: (process, connections by front)}."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = tls.Authority(directory)
    holder, dead = refused_port()
    with holder, Upstream(tell) as upstream:
        config = configuration(upstream.port, dead, authority)
        with envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, Weir(tmp_path_factory.mktemp("weir"), config) as ours:
            yield (theirs, {}), (ours, {}), authority


def exchange(proxy, clients, front, request, host):
    """One request on a kept connection; a new one when the last answer ended it."""
    host = host if request["host"] is None else request["host"]
    head = f"{request['method']} {request['path']} HTTP/1.1\r\nhost: {host}\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in request["headers"]) + ("content-length: 0\r\n" if request["method"] == "POST" else "")
    client = clients.get(front)
    if client is None:
        client = clients[front] = Client(proxy.listener_port(front))
    try:
        client.send(head + "\r\n")
        answer = client.response(head=request["method"] == "HEAD")
    except Closed as closed:
        del clients[front]
        return "closed", closed.args[0]
    if (answer.get("connection") or "") == "close":
        clients.pop(front).close()
    text = answer.text
    try:
        text = json.loads(text)
    except ValueError:
        pass
    return answer.status, sorted((k.lower(), v) for k, v in answer.headers if k.lower() not in VOLATILE), text


def compare(pair, front, host, requests, known=()):
    (theirs, their_clients), (ours, our_clients), _ = pair
    wrong = []
    for request in requests:
        expected = exchange(theirs, their_clients, front, request, host)
        got = exchange(ours, our_clients, front, request, host)
        if expected != got:
            wrong.append(f"{request}\n  Envoy: {expected}\n  Weir:  {got}")
    if known:
        assert wrong, "no difference any more, take it out of DIFFERENT"
    else:
        assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("area", AREAS, ids=lambda a: a.name)
def test_same(pair, area):
    compare(pair, area.front, area.name, area.requests, DIFFERENT.get(area.name, ()))


def test_domains(pair):
    compare(pair, "front", None, [ask(host=h) for h in HOSTS])


@pytest.mark.parametrize("client", ["none", "good", "strange"])
@pytest.mark.parametrize("front", ["tls", "tls-ca"])
def test_client_certificates(pair, front, client):
    (theirs, _), (ours, _), authority = pair
    shown = {"none": lambda: None, "good": lambda: authority.issue("client"),
             "strange": lambda: tls.Authority(authority.directory / "other").issue("client")}[client]()
    answers = []
    for proxy in (theirs, ours):
        with tls.connect(proxy.listener_port(front), tls.context(pair=shown)) as connection:
            answers.append([tls.get(connection, path)[1] for path in TLS_PATHS])
    assert answers[0] == answers[1]

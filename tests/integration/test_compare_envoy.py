# SPDX-License-Identifier: Apache-2.0
#
# The same plugin (tests/plugins/probe.c), configuration and requests in real Envoy and in Weir: status, headers, body,
# the calls that the plugin got, what each host function answered, and metrics must be equal. A known difference stands
# in DIFFERENT with its reason, as in docs/compatibility.md, and the test fails when it is gone.

import dataclasses
import json
import re

import pytest

from support import envoy
from support.config import ANY, bootstrap, cluster, direct, hcm, http_options, listener, route, wasm
from support.http1 import Client, Closed, format_request
from support.process import Weir, wait_until
from support.queues import wait_read
from support.upstream import Upstream, respond

# Changes with time, or names the process.
SERVICE_TIME = re.compile(r"(x-envoy-upstream-service-time=)\d+")  # as plugins see it
VOLATILE = {"date", "x-envoy-upstream-service-time", "x-request-id"}
LATE_END = re.compile(r"(probe: call \w+_body S) (\d+) 0\n\1 0 1")
END = re.compile(r"probe: call delete (\d+) ")


@dataclasses.dataclass
class Case:
    name: str
    probe: str = ""
    method: str = "GET"
    path: str = "/"
    headers: tuple = ()
    body: str = None
    raw: bytes = None         # instead of all of the above but `probe`, which replaces PROBE in it
    late: bool = False        # the body's end comes after the plugin has seen the body
    front: str = "front"


def raw(name, text, probe="", **options):
    return Case(name, probe, raw=text.replace("\n", "\r\n").encode("latin-1"), **options)


def late(name, probe, **options):
    return Case(name, probe, late=True, **options)


CHUNKED = "POST / HTTP/1.1\nhost: test\nx-probe: PROBE\ntransfer-encoding: chunked\n\n5\nhello\n5\nworld\n0\n\n"
LATE = ("POST {path} HTTP/1.1\r\nhost: test\r\nx-probe: {probe}\r\ntransfer-encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n")
TRAILERS = "POST / HTTP/1.1\nhost: test\nx-probe: PROBE\ntransfer-encoding: chunked\n\n5\nhello\n0\nx-t: 1\n\n"

CASES = [
    # The order of callbacks, and what they are told.
    Case("plain get"),
    Case("post", method="POST", body="hello"),
    Case("post of nothing", method="POST", body=""),
    Case("head", method="HEAD"),
    Case("options", method="OPTIONS"),
    Case("an upstream without a body", path="/empty"),
    Case("204", path="/204"),
    Case("304", path="/304"),
    Case("103 before 200", path="/early"),
    Case("an upstream that resets", path="/reset"),
    Case("a chunked answer with trailers", path="/trailers"),
    Case("no route", path="/none", front="direct"),
    Case("direct response", path="/direct", front="direct"),
    raw("chunked request", CHUNKED),
    raw("request trailers", TRAILERS),
    raw("expect 100", "POST / HTTP/1.1\nhost: test\nexpect: 100-continue\ncontent-length: 2\nx-probe: context\n\nhi"),
    raw("upgrade that is off", "GET / HTTP/1.1\nhost: test\nconnection: upgrade\nupgrade: websocket\n\n"),
    raw("http 1.0", "GET / HTTP/1.0\nhost: test\n\n"),
    # Headers.
    Case("get", "header 0 :path; header 0 HOST; header 0 :authority; header 0 nope; header 0 x-a",
         headers=(("x-a", "1"), ("x-a", "2"))),
    Case("pairs", "pairs 0", headers=(("x-a", "1"), ("x-a", "2"), ("X-Upper", "V"))),
    Case("response pairs", "@response_headers pairs 2", path="/cookies"),
    Case("sizes of maps", "map_bytes 0; map_bytes 2; map_bytes 1; @response_headers map_bytes 0"),
    Case("add", "header_add 0 x-a 2; header_add 0 X-B 1; header_add 0 x-empty -", headers=(("x-a", "1"),)),
    Case("add to a list", "header_add 0 accept b; header_add 0 cookie c=d", headers=(("accept", "a"), ("cookie", "a=b"))),
    Case("set", "header_set 0 x-a 3; header_set 0 x-new 1", headers=(("x-a", "1"), ("x-a", "2"))),
    Case("remove", "header_remove 0 x-a; header_remove 0 x-none", headers=(("x-a", "1"), ("x-a", "2"))),
    Case("set the path", "header_set 0 :path /other?x=1"),
    Case("set the authority", "header_set 0 :authority other.example"),
    Case("set the method", "header_set 0 :method PUT"),
    Case("remove the method", "header_remove 0 :method"),
    Case("remove the path", "header_remove 0 :path"),
    Case("remove the authority", "header_remove 0 :authority"),
    Case("add a second path", "header_add 0 :path /b"),
    Case("add an unknown pseudo-header", "header_add 0 :nope x"),
    Case("a name with a space", "header_add 0 x(y 1; header_set 0 x(y 1; header_remove 0 x(y"),
    Case("an empty name", "header_add 0 - 1; header_set 0 - 1; header_remove 0 -; header 0 -"),
    Case("write the map back", "pairs_set 0 x-more 1"),
    Case("maps that do not exist", "header 8 a; header_add 8 a b; header_set 99 a b; header_remove 8 a; pairs 8; map_bytes 8"),
    Case("maps of another phase", "header 2 a; header_add 2 a b; header_set 2 a b; header_remove 2 a; pairs 2"),
    Case("trailers that are not there", "header 1 a; pairs 1; header_add 1 a b; header 3 a; pairs 3"),
    Case("maps of calls", "header 4 a; header 5 a; header 6 a; header 7 a; pairs 6; header_add 6 a b"),
    Case("request headers in the response", "@response_headers header 0 :path; @response_headers pairs 0; "
         "@response_headers header_add 0 a b"),
    Case("response headers", "@response_headers header 2 :status; @response_headers header_set 2 content-type a/b; "
         "@response_headers header_remove 2 x-up; @response_headers header_add 2 x-down 1", path="/cookies"),
    Case("set the status", "@response_headers header_set 2 :status 404"),
    Case("set a bad status", "@response_headers header_set 2 :status abc"),
    Case("remove the status", "@response_headers header_remove 2 :status"),
    Case("a big header", "header_add 0 x-big " + "y" * 3000),
    Case("headers in the log", "@log header 0 :path; @log header 2 :status; @log header 0 nope; @log header_add 2 a b; "
         "@log pairs 1; @log buffer 1 0 10", method="POST", body="x"),
    Case("headers when it is done", "@done header 0 :path; @done header 2 :status; @done pairs 0"),
    # Trailers.
    raw("read trailers", TRAILERS, "@request_trailers header 1 x-t; @request_trailers pairs 1; @request_trailers header 0 :path"),
    raw("change trailers", TRAILERS, "@request_trailers header_add 1 x-n 2; @request_trailers header_set 1 x-t 3"),
    raw("remove trailers", TRAILERS, "@request_trailers header_remove 1 x-t"),
    raw("pause in trailers and go on", TRAILERS, "@request_trailers pause; @request_trailers continue 0"),
    late("create request trailers", "@request_body header_add 1 x-new 1"),
    Case("response trailers", "@response_trailers pairs 3; @response_trailers header_add 3 x-n 1", path="/trailers"),
    # Bodies.
    late("read a body", "@request_body buffer 0 0 100; @request_body buffer 0 2 2; @request_body buffer 0 9 9; "
         "@request_body buffer_bytes 0"),
    Case("read without a body", "buffer 0 0 10; buffer_bytes 0; buffer 1 0 10"),
    Case("buffers that do not exist", "buffer 9 0 1; buffer_bytes 9; buffer_splice 9 0 0 x; buffer 4 0 1; buffer 5 0 1; "
         "buffer 7 0 9; buffer 6 0 9; buffer 8 0 9"),
    Case("TCP buffers in HTTP", "buffer 2 0 1; buffer 3 0 1; buffer_splice 2 0 0 x"),
    late("replace", "header_remove 0 content-length; @request_body buffer_replace 0 HELLO!"),
    late("replace by nothing", "header_remove 0 content-length; @request_body buffer_replace 0 -"),
    late("prepend and append", "header_remove 0 content-length; @request_body buffer_prepend 0 <; "
         "@request_body buffer_append 0 >"),
    late("the middle", "header_remove 0 content-length; @request_body buffer_splice 0 2 1 XX"),
    late("part of the front", "header_remove 0 content-length; @request_body buffer_splice 0 0 2 XX"),
    late("beyond the end", "header_remove 0 content-length; @request_body buffer_splice 0 99 3 XX"),
    late("more than there is", "header_remove 0 content-length; @request_body buffer_splice 0 0 99 XX"),
    Case("write a body in the headers", "buffer_splice 0 0 0 early"),
    Case("the configuration cannot be written", "buffer_splice 7 0 0 x; buffer_splice 6 0 0 x; buffer_splice 4 0 0 x"),
    Case("response body", "@response_body buffer_replace 1 short", path="/late"),
    Case("response body appended", "@response_body buffer_append 1 +", path="/late"),
    Case("a response body that waits", "@response_body pause; @response_body buffer 1 0 99; @response_body continue 1",
         path="/late"),
    Case("wrong length kept", "@response_body buffer_append 1 +++", path="/cookies"),
    late("a body that waits", "@request_body pause; @request_body buffer 0 0 100; @request_body continue 0"),
    late("no buffer", "@request_body buffer_bytes 0"),
    Case("a body over the limit", "@request_body pause; @request_body buffer_bytes 0", method="POST", body="x" * 40_000, front="small"),
    Case("a body over the limit, released", method="POST", body="x" * 40_000, front="small"),
    Case("a response body over the limit", "@response_body pause", path="/big", front="small"),
    # Pause and continue.
    Case("pause and continue", "pause; continue 0"),
    Case("pause and continue with a body", "pause; continue 0", method="POST", body="hello"),
    Case("continue that is not paused", "continue 0; continue 1; continue 2"),
    Case("continue of a stream that is none", "continue 4; continue 99; close 4"),
    Case("continue of the wrong one", "continue 1"),
    Case("upstream of TCP", "continue 3; close 3"),
    Case("pause in the response", "@response_headers pause; @response_headers continue 1"),
    Case("pause, stop and buffer", "pause 3; continue 0", method="POST", body="hello"),
    Case("an action that does not exist", "pause 9; continue 0", method="POST", body="hello"),
    Case("end the stream", "pause 2", method="POST", body="hello"),
    late("stop iteration, body seen", "pause; @request_body continue 0; @request_body header_add 0 x-late 1",
         front="stop"),
    Case("close the request", "close 0"),
    Case("close the response", "@response_headers close 1"),
    # Local replies.
    Case("reply", "reply 403 no"),
    Case("reply to head", "reply 403 no", method="HEAD"),
    Case("reply without a body", "reply 204 -"),
    Case("two replies", "reply 403 first; reply 500 second"),
    late("reply while a body comes", "@request_body reply 413 toobig"),
    Case("reply in the response", "@response_headers reply 502 instead"),
    Case("reply in the response body", "@response_body reply 502 instead", path="/late"),
    Case("reply in the log", "@log reply 500 late"),
    Case("reply and read", "reply 403 no; header 0 :path; header_add 0 a b; @response_headers header 2 :status; "
         "@response_headers pairs 2"),
    Case("reply and continue", "reply 403 no; continue 0"),
    raw("reply in trailers", TRAILERS, "@request_trailers reply 400 trailers"),
    Case("a status that is none", "reply 99 x"),
    # Shared data and queues.
    Case("shared data", "shared_get missing; shared_set k1 v 0; shared_set k1 w 999999; shared_set new v 7; "
         "shared_set - e 0; shared_set empty - 0; @response_headers shared_get -"),
    Case("queues", "queue_resolve - none; queue_push 999 x; queue_pop 999; queue_register q1; queue_resolve - q1; queue_register q1; "
         "queue_resolve other q1; queue_push 0 x; queue_pop 0"),
    Case("queue order", "queue_register q2; queue_push 2 a; queue_push 2 b; queue_push 2 -; queue_pop 2; queue_pop 2; "
         "queue_pop 2; queue_pop 2"),
    # Metrics.
    Case("metrics", "metric_define 0 cmp_c; metric_define 1 cmp_g; metric_define 2 cmp_h; metric_define 3 x; metric_define 0 cmp_c; "
         "metric_add 4 5; metric_add 4 0; metric_add 4 -1; metric_record 4 2; metric_get 4; metric_get 8"),
    Case("gauges and histograms", "metric_add 5 7; metric_add 5 -2; metric_get 5; metric_record 5 3; metric_get 5; metric_add 6 1; "
         "metric_record 6 10; metric_get 6"),
    Case("metrics that do not exist", "metric_add 400 1; metric_record 400 1; metric_get 400; metric_get 403; metric_add 403 1; "
         "metric_record 403 1; metric_add 0 1"),
    Case("a metric without a name", "metric_define 0 -"),
    # Properties.
    Case("plugin properties", "property plugin_name; property plugin_root_id; property plugin_vm_id; property nope; property -"),
    Case("request properties", "property request.path; property request.url_path; property request.host; property request.scheme; "
         "property request.method; property request.protocol; property request.query; property request.useragent; "
         "property request.referer; property request.headers.x-a; property request.headers.nope; property_u64 request.size; "
         "property request.nope", path="/p/q?a=b", headers=(("user-agent", "ua"), ("referer", "r"), ("x-a", "1"))),
    Case("a repeated header as a property", "property request.headers.x-a", headers=(("x-a", "1"), ("x-a", "2"))),
    Case("response properties", "@response_headers property_u64 response.code; @response_headers property response.headers.x-up; "
         "@response_headers property response.code_details; @response_headers property_u64 response.flags; "
         "@response_headers property response.grpc_status", path="/cookies"),
    Case("properties in the log", "@log property_u64 response.code; @log property_u64 response.size; @log property request.path; "
         "@log property_u64 request.total_size; @log property response.code_details", method="POST", body="abc"),
    Case("connection properties", "property connection.mtls; property connection.requested_server_name; property connection.tls_version; "
         "property connection.nope; property connection.uri_san_peer_certificate"),
    Case("upstream properties", "property upstream.address; @response_headers property_u64 upstream.nope; "
         "property upstream.transport_failure_reason"),
    Case("names of the configuration", "property xds.route_name; property xds.cluster_name; property xds.virtual_host_name; "
         "property_u64 xds.listener_direction; property xds.filter_chain_name; property xds.nope"),
    Case("set and read a property", "property_set mine 1; property mine; property_set mine 2; @response_headers property mine; "
         "@log property mine; property_set request.path x; property request.path"),
    Case("whole objects", "property request; property request.headers; property source"),
    # The rest.
    Case("levels of the log", "log 0 a; log 2 b; log 5 c; log 6 d; log 99 e"),
    Case("foreign functions", "foreign nope x; foreign - x; foreign clear_route_cache -"),
    Case("compress", "foreign uncompress garbage"),
    Case("effective contexts", "effective 1; header 0 :path; effective 0"),
    Case("done from a stream", "done"),
    Case("status of no call", "call_status"),
    Case("calls to nowhere", "http_call nowhere /; grpc_call nowhere; grpc_stream nowhere; grpc_send 1 x; grpc_cancel 1; "
         "grpc_close 1; grpc_send 4 x; grpc_cancel 5; grpc_close 6"),
]

WAITS = "continue_stream in the callback that then pauses: Envoy never goes on"
ORDER = "the order of pseudo-headers and added headers in a map"
SIZES = "how much of a body comes at once"
STRICT = "names that no header can have are refused"
# name: why it differs; docs/compatibility.md has the same reasons.
DIFFERENT = {
    "a chunked answer with trailers": "transfer-encoding of an answer is the connection's, not the message's",
    "http 1.0": "a request that is refused before it has a route is no stream",
    "pairs": ORDER,
    "whole objects": ORDER,
    "add to a list": "accept and other known headers are joined by Envoy, and sent as two by Weir",
    "remove the authority": "a request without :authority is refused",
    "add a second path": "a second value of :path is dropped, Envoy joins them with a comma",
    "add an unknown pseudo-header": STRICT,
    "a name with a space": STRICT,
    "an empty name": STRICT,
    "set a bad status": "503 in the words of a bad gateway",
    "buffers that do not exist": "a gRPC message outside its callback: NOT_FOUND, OK and empty in Envoy",
    "a body that waits": WAITS,
    "a response body that waits": WAITS,
    "pause and continue with a body": WAITS,
    "pause in the response": WAITS,
    "pause, stop and buffer": WAITS,
    "an action that does not exist": WAITS,
    "wrong length kept": "a body longer than its content-length resets; Envoy cuts it",
    "a body over the limit": SIZES,
    "a body over the limit, released": SIZES,
    "a response body over the limit": SIZES,
    "upstream of TCP": "continue_stream(UPSTREAM) is OK, Envoy has no such thing",
    "a status that is none": "500; Envoy never answers",
}
# Those that go through the plugin as a filter of the cluster, too: what is different there, or could be.
UPSTREAM = [case for case in CASES if not case.late and case.name not in DIFFERENT and (re.search(
    r"trailers|pause|reply|close|end the stream|status|propert|body|reset|expect|head$|204|early|metrics|remove", case.name))]
DIFFERENT_UPSTREAM = {"two replies": "the first one counts; in Envoy the second"}
# These end Envoy 1.40 with a signal, so it is not asked; Weir must serve them.
ENVOY_CRASHES = {"continue that is not paused", "continue of the wrong one", "reply in the log"}
NO_STREAM = {"http 1.0"}
CHUNKED_ANSWERS = {"/late", "/trailers"}
# Envoy leaves the client without an answer.
HANGS = {name for name, reason in DIFFERENT.items() if reason == WAITS} | {"a status that is none"}


def upstream_handler(connection):
    while (asked := connection.read_request()) is not None:
        path = asked.start.split()[1]
        if path == "/reset":
            connection.reset()
            return
        if path == "/trailers":
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n")
        elif path in ("/204", "/304"):
            connection.send(f"HTTP/1.1 {path[1:]} X\r\nx-up: 1\r\n\r\n")
        elif path == "/empty":
            respond(connection)
        elif path == "/early":
            connection.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            respond(connection, body="late")
        elif path == "/cookies":
            respond(connection, headers=[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-up", "1")], body="cookies")
        elif path == "/late":
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n")
            wait_read(connection.socket)  # the body is seen before its end
            connection.send("0\r\n\r\n")
        elif path == "/big":
            respond(connection, body="y" * 40_000)
        else:
            fields = sorted(f"{k}: {v}" for k, v in asked.headers if k not in VOLATILE)
            fields += sorted(f"trailer {k}: {v}" for k, v in asked.trailers)
            respond(connection, body="\n".join([asked.start, *fields, ""]).encode("latin-1") + b"\n" + asked.body)


def configuration(port):
    trailers = {"http_protocol_options": {"enable_trailers": True}, "generate_request_id": False}

    def probe(name, **fields):
        return wasm("probe", "trace", name="probe", root_id="rid", vm={"vm_id": f"vm-{name}"}, **fields)

    def behind(name, **fields):
        """The plugin stands in the cluster."""
        codec = {"name": "codec", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}
        clusters.append(cluster(port, name=name, **http_options(
            explicit_http_config=options, http_filters=[probe(name, **fields), codec])))
        return listener(hcm([route(cluster=name)], **trailers), name=name)

    def front(name, routes=None, listener_fields=None, **fields):
        return listener(hcm(routes, [probe(name, **fields)], **trailers), name=name, **(listener_fields or {}))

    options = {"http_protocol_options": {"enable_trailers": True}}
    clusters = [cluster(port, **http_options(explicit_http_config=options))]
    fronts = [behind("behind"), front("front"), front("stop", allow_on_headers_stop_iteration=True),
              front("small", listener_fields={"per_connection_buffer_limit_bytes": 4096}),
              front("direct", [direct(200, "direct", "/direct")])]
    return bootstrap(*fronts, clusters=clusters)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory):
    with Upstream(upstream_handler) as upstream:
        config = configuration(upstream.port)
        with envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, \
                Weir(tmp_path_factory.mktemp("weir"), config) as ours:
            yield theirs, ours


def ended(log):
    return len(END.findall(log))


def answer_of(proxy, case):
    """What the client sees."""
    if case.raw is not None:
        data = case.raw.replace(b"PROBE", case.probe.encode("latin-1"))
    else:
        headers = [*case.headers, *([("x-probe", case.probe)] if case.probe else [])]
        data = format_request(case.method, case.path, headers, case.body)
    if case.late:
        data = LATE.format(path=case.path, probe=case.probe).encode()
    before = proxy.log().count("call request_body")
    hangs = isinstance(proxy, envoy.Envoy) and case.name in HANGS
    with Client(proxy.listener_port(case.front), timeout=1.0 if hangs else 30.0) as client:
        try:
            client.send(data)
            if case.late:
                wait_until(lambda: proxy.log().count("call request_body") > before, "the body")
                client.send(b"0\r\n\r\n")
            answer = client.response(head=case.method == "HEAD")
        except Closed:
            return "closed"
        except TimeoutError:
            return "no answer"
    names = sorted((k.lower(), SERVICE_TIME.sub(r"\1", v)) for k, v in answer.headers if k.lower() not in VOLATILE)
    return {"status": answer.status, "headers": names, "body": answer.text, "trailers": answer.trailers,
            "informational": answer.informational}


def lines_of(proxy, case, before):
    """What the plugin logged for one stream, without the number of its context."""
    try:
        wait_until(lambda: ended(proxy.log()) > ended(before), "the stream's end", 0.5 if case.name in NO_STREAM else 30.0)
    except AssertionError:
        return ["no stream"]
    lines = [line for line in envoy.plugin_lines(proxy.log()[len(before):]) if line.startswith("probe: ")]
    text = "\n".join(line for line in lines if not line.startswith(("probe: vm_start", "probe: configure")))
    text = re.sub(r"^(probe: call \w+) \d+ ", r"\1 S ", text, flags=re.M)
    if case.path in CHUNKED_ANSWERS and case.name not in DIFFERENT:
        # Envoy counts transfer-encoding; "a chunked answer with trailers" shows it.
        text = re.sub(r"(call response_headers S) \d+", r"\1 N", text)
    text = SERVICE_TIME.sub(r"\1", text)
    # Envoy's HTTP/1 has an end of its own behind a body that was complete; Weir's comes with its last bytes.
    return LATE_END.sub(r"\1 \2 1", text).split("\n")


def seen(proxy, case):
    before = proxy.log()
    answer = answer_of(proxy, case)
    return {"answer": answer, "log": lines_of(proxy, case, before)}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same(proxies, case):
    if case.name in ENVOY_CRASHES:
        assert seen(proxies[1], case)["answer"]["status"] == 200
        return
    theirs, ours = (seen(proxy, case) for proxy in proxies)
    shown = f"Envoy: {json.dumps(theirs, indent=1)}\nWeir: {json.dumps(ours, indent=1)}"
    if DIFFERENT.get(case.name) == SIZES:  # how much one read brings may be the same, too
        kinds = [a if isinstance(a, str) else a["status"] for a in (theirs["answer"], ours["answer"])]
        assert kinds[0] == kinds[1], shown
    elif case.name in DIFFERENT:
        assert theirs != ours, f"no difference any more, take it out of DIFFERENT: {shown}"
    else:
        assert theirs == ours, shown


@pytest.mark.parametrize("case", UPSTREAM, ids=lambda c: c.name)
def test_same_upstream(proxies, case):
    if case.name in ENVOY_CRASHES or case.front != "front":
        return
    theirs, ours = (seen(proxy, dataclasses.replace(case, front="behind")) for proxy in proxies)
    shown = f"Envoy: {json.dumps(theirs, indent=1)}\nWeir: {json.dumps(ours, indent=1)}"
    assert (theirs == ours) == (case.name not in DIFFERENT_UPSTREAM), shown


def test_reasons():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert set(DIFFERENT) | ENVOY_CRASHES <= set(names)

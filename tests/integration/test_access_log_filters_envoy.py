# SPDX-License-Identifier: Apache-2.0
"""Which lines access log filters let through, of real Envoy and of Weir: by moment, gRPC status, share and metadata."""

import pytest

from support import http1
from support.config import bootstrap, cluster, direct, hcm, listener
from support.envoy import Envoy
from support.process import Weir, validate, wait_until
from support.tcp import Client, echo, stdout_log, tcp_proxy
from support.tcp import listener as tcp_listener
from support.upstream import Upstream

PROXY_PROTOCOL = {"name": "proxy", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    "rules": [{"tlv_type": 0xE1, "on_tlv_present": {"key": "tenant"}}]}}
SPACE = "envoy.filters.listener.proxy_protocol"


def metadata(value=None, **fields):
    matcher = {"filter": SPACE, "path": [{"key": "tenant"}], "value": {"string_match": {"exact": value}}}
    return {"metadata_filter": {**({"matcher": matcher} if value else {}), **fields}}


def share(numerator, denominator="HUNDRED", **fields):
    return {"runtime_filter": {"runtime_key": "no.such.key", "percent_sampled": {
        "numerator": numerator, "denominator": denominator}, **fields}}


FILTERS = {
    "end": {"log_type_filter": {"types": ["DownstreamEnd"]}},
    "not_end": {"log_type_filter": {"types": ["DownstreamEnd", "TcpConnectionEnd"], "exclude": True}},
    "tcp": {"log_type_filter": {"types": ["TcpUpstreamConnected", "TcpConnectionEnd"]}},
    "no_type": {"log_type_filter": {}},
    "ok": {"grpc_status_filter": {"statuses": ["OK"]}},
    "denied": {"grpc_status_filter": {"statuses": ["PERMISSION_DENIED", "UNAVAILABLE"]}},
    "not_denied": {"grpc_status_filter": {"statuses": ["PERMISSION_DENIED"], "exclude": True}},
    "unknown": {"grpc_status_filter": {"statuses": ["UNKNOWN"]}},
    "all": share(100), "none": share(0), "half": share(50), "few": share(4096, "TEN_THOUSAND"), "million": share(1000000, "MILLION"),
    "key": {"runtime_filter": {"runtime_key": "log.some", "percent_sampled": {"numerator": 0}}},
    "bare": {"runtime_filter": {"runtime_key": "no.such.key"}},
    "tenant": metadata("blue"), "tenant_only": metadata("blue", match_if_key_not_found=False),
    "nothing": metadata(), "nothing_absent": metadata(match_if_key_not_found=False),
    "both": {"and_filter": {"filters": [share(100), {"log_type_filter": {"types": ["DownstreamEnd"]}}]}},
}


def log(text):
    """With the operators of two formatters."""
    made = stdout_log(text)
    made["typed_config"]["log_format"]["formatters"] = [
        {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.formatter.{name}.v3.{kind}"}}
        for name, kind in (("metadata", "Metadata"), ("req_without_query", "ReqWithoutQuery"))]
    return made


def logs():
    return [dict(log(f"{name} of %REQ(X-STEP)% %DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:tenant)% %REQ_WITHOUT_QUERY(X-NO?:PATH)% %REQ_WITHOUT_QUERY(:PATH):3% line"), filter=one) for name, one in FILTERS.items()]


def config(port):
    def answer(path, status, grpc=None):
        made = direct(status, "x", match=path)
        if grpc is not None:
            made["response_headers_to_add"] = [{"header": {"key": "grpc-status", "value": grpc}}]
        return made
    routes = [answer("/ok", 200, "0"), answer("/denied", 200, "7"), answer("/large", 200, "99"), answer("/503", 503), answer("/", 200)]
    manager = hcm(routes, access_log=logs(), preserve_external_request_id=True)
    made = bootstrap(listener(manager), tcp_listener(tcp_proxy(access_log=logs()), name="meta", listener_filters=[PROXY_PROTOCOL]),
                     tcp_listener(tcp_proxy(access_log=logs(), access_log_options={"flush_access_log_on_connected": True}), name="tcp"),
                     clusters=[cluster(port)])
    made["layered_runtime"] = {"layers": [{"name": "here", "static_layer": {"log.some": 60}}]}
    return made


def with_tenant(tenant):
    """The head of a PROXY connection v2 with one TLV."""
    rest = bytes([127, 0, 0, 1, 127, 0, 0, 2, 0, 1, 0, 2, 0xE1, 0, len(tenant)]) + tenant
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11, 0, len(rest)]) + rest


def lines(proxy):
    return sorted(line[:-5] for line in proxy.log().splitlines() if line.endswith(" line"))


def run(make, directory):
    with Upstream(echo) as server:
        proxy = make(directory, config(server.port), concurrency=1)
        try:
            port = proxy.listener_port("front")
            for path in ("/ok", "/denied", "/large", "/503", "/"):
                http1.request(port, "GET", path + "?query", headers=[("x-step", path), ("x-request-id", f"0000000a-0000-4000-8000-{1:012}")])
            for i in range(16):  # the first digits decide
                number = i * 0x10203040 % (1 << 32)
                identifier = f"{number:08x}-0000-4000-8000-000000000001"
                http1.request(port, "GET", "/", headers=[("x-step", f"id{i}"), ("x-request-id", identifier)])
            for tenant in (b"blue", b"red"):
                with Client(proxy.listener_port("meta")) as client:
                    assert client.send(with_tenant(tenant) + b"abc").read(3) == b"abc"
            with Client(proxy.listener_port("tcp")) as client:
                assert client.send(b"abc").end().rest() == b"abc"
            seen = len(range(16)) + 7
            wait_until(lambda: len([x for x in lines(proxy) if x.startswith("all of ")]) == seen + 2, "the lines")
            wait_until(lambda: len([x for x in lines(proxy) if x.startswith("nothing of ")]) == seen + 2, "the lines")
            return lines(proxy)
        finally:
            proxy.stop() if isinstance(proxy, Envoy) else proxy.kill()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    envoy = run(Envoy, tmp_path_factory.mktemp("envoy"))
    return envoy, run(Weir, tmp_path_factory.mktemp("weir"))


@pytest.mark.parametrize("name", FILTERS)
def test_same_lines(both, name):
    """A connection has no request id: of those any share is as good."""
    def of(lines):
        return [x for x in lines if x.startswith(name + " of ") and not ("of -" in x and name in ("half", "few", "key"))]
    envoy, weir = both
    assert of(weir) == of(envoy)
    assert name in ("none", "no_type", "bare", "nothing_absent") or of(weir)


def test_independent_of_the_id(start):
    """All of the same id: some are logged, some are not."""
    some = dict(stdout_log("LINE"), filter=share(50, use_independent_randomness=True))
    weir = start(bootstrap(listener(hcm([direct()], access_log=[some], preserve_external_request_id=True))))
    count = 64
    with http1.Client(weir.port) as client:
        for _ in range(count):
            client.request("GET", "/", headers=[("x-request-id", "0" * 8 + "-0000-4000-8000-000000000001")])
    weir.wait_stat("http.front.downstream_rq_completed", count)
    weir.wait_log("LINE")
    assert weir.log().count("LINE") < count


def test_refused(tmp_path):
    """What is no value is told, and what stands around it is still looked at."""
    for how, error in [({"grpc_status_filter": {"statuses": [99, -1]}}, "statuses[1]: has no value -1"),
                       ({"metadata_filter": {"matcher": {"filter": "a", "path": [{}], "value": {"bool_match": True}}}},
                        "path[0]: needs one of key")]:
        result = validate(tmp_path, bootstrap(listener(hcm([direct()], access_log=[dict(stdout_log("x"), filter=how)]))))
        assert result.returncode == 1
        assert error in result.stderr

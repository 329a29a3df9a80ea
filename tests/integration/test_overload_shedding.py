# SPDX-License-Identifier: Apache-2.0
"""Load shed points of codecs, router, pools and the TCP proxy, streams that hold too much, time limits that shrink, monitors of
the cgroup and the processors; beside real Envoy where it tells a story worth comparing."""

import contextlib
import threading

import pytest

from support import http2, tcp, tls
from support.config import ANY, direct, route, simple
from support.envoy import Envoy
from support.overload import INJECTED, MONITORS, answer, config, inject, manager, pressure, raw, threshold, without_date
from support.process import Weir, wait_until
from support.upstream import Upstream, respond

LOGGER = ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
LINE = "%PROTOCOL% %PATH% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
UP = b"GET /up HTTP/1.1\r\nhost: a\r\n\r\n"
HANG = b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n"
COUNT = "envoy.overload_actions.reset_high_memory_stream.count"


def serve(connection):
    while (asked := connection.read_request()) is not None:
        if "/hang" not in asked.start:
            respond(connection)


@pytest.fixture
def server():
    with Upstream(serve) as one:
        yield one


def logged(path, **fields):
    return {"access_log": [{"name": "file", "typed_config": {"@type": LOGGER, "path": str(path), "log_format": {
        "text_format_source": {"inline_string": LINE}}}}], **fields}


def front(directory, server, name, overload):
    settings = simple(server.port, [route("/up"), route("/hang"), direct()], **logged(directory / f"{name}.log"))
    return {**settings, "overload_manager": overload}


def h2_story(client, stream):
    """What comes on an HTTP/2 connection up to the stream's end or the connection's."""
    frames = client.read_until(lambda f: f.stream == stream and (f.type == http2.RST_STREAM or f.flags & http2.END_STREAM))
    return ([f.code for f in frames if f and f.type == http2.GOAWAY], frames[-1] is None)


def whole_log(proxy, path):
    """A line for each request so far; files are written by and by."""
    total = proxy.stats("downstream_rq_total")["http.front.downstream_rq_total"]
    return wait_until(lambda: lines if len(lines := path.read_text().splitlines()) == total else None, f"{total} lines of log")


@contextlib.contextmanager
def both(tmp_path, settings):
    """settings(name) for Envoy and for Weir, each one running, one after the other."""
    def each():
        for kind, name in ((Envoy, "envoy"), (Weir, "weir")):
            inject(tmp_path, 0.1)
            with kind(tmp_path / name, settings(name)) as proxy:
                pressure(proxy, 10)
                yield name, proxy
    yield each()


def full(tmp_path, proxy):
    inject(tmp_path, 0.95)
    pressure(proxy, 95)
    wait_until(lambda: 100 in proxy.stats("scale_percent").values(), "the point")


def counted(proxy, names):
    """Of the front, and of overload."""
    return {k: v for k, v in proxy.stats(names).items() if k.startswith(("http.front.", "tcp.front.", "overload.", "envoy."))}


@pytest.mark.parametrize("point", ["hcm_ondata_creating_codec", "http2_server_go_away_on_dispatch",
                                   "http2_server_go_away_and_close_on_dispatch", "http_downstream_filter_check",
                                   "connection_pool_new_connection"])
def test_points_as_envoy(tmp_path, server, point):
    """A connection that was there, one that has said nothing yet and a new one, in HTTP/1 and HTTP/2, with an answer of the
    proxy and of an upstream."""
    outcomes = []
    with both(tmp_path, lambda name: front(tmp_path, server, name, manager(tmp_path, points=(point,)))) as proxies:
        for name, proxy in proxies:
            story = []
            with contextlib.closing(raw(proxy.port)) as old, contextlib.closing(raw(proxy.port)) as silent, \
                    http2.Client(proxy.port) as client:
                assert answer(old).startswith(b"HTTP/1.1 200")
                client.answer(client.open())
                hanging = client.open(http2.request("/hang"))
                proxy.wait_stat("cluster.upstream.upstream_rq_active", 1)
                full(tmp_path, proxy)
                story += [without_date(answer(old)), without_date(answer(silent)), h2_story(client, client.open())]
                if not story[-1][1]:
                    client.send(http2.frame(http2.RST_STREAM, 0, hanging, (8).to_bytes(4, "big")))
                    proxy.wait_stat("http.front.downstream_rq_active", 0)
            for request in (UP, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"):
                with contextlib.closing(raw(proxy.port)) as new:
                    story.append([line for line in without_date(answer(new, request)) if not line.startswith(b"x-envoy-upstream")])
            with http2.Client(proxy.port) as client:
                try:
                    story.append(h2_story(client, client.open()))
                except (BrokenPipeError, ConnectionResetError):
                    story.append(([], True))
            proxy.wait_stat("http.front.downstream_rq_active", 0)
            lines = whole_log(proxy, tmp_path / f"{name}.log")
            stats = counted(proxy, "overload_close|overload_local_reply|scale_percent")
            assert [v for k, v in proxy.stats("shed_load_count").items() if v > 0]
            outcomes.append((story, sorted(lines), stats))
    assert outcomes[1] == outcomes[0]


@pytest.mark.parametrize("point, goes_on", [("http2_server_go_away_and_close_on_dispatch", False),
                                            ("http2_server_go_away_on_dispatch", True)])
@pytest.mark.parametrize("bypass", [False, True])
def test_streams_under_way_when_a_connection_is_told_to_go(start, tmp_path, server, point, goes_on, bypass):
    """Some wait for an answer, some are half sent, one is only a part of a head: all end with the connection, or go on."""
    inject(tmp_path, 0)
    weir = start(config(manager(tmp_path, points=(point,)), upstream_port=server.port, routes=[route("/hang"), route("/up")],
                        listener_fields={"bypass_overload_manager": bypass}))
    with http2.Client(weir.port) as client:
        for _ in range(5):
            client.open(http2.request("/hang"))
        halves = [client.open(http2.request("/up", "POST"), end=False) for _ in range(5)]
        for stream in halves:
            client.send(http2.frame(http2.DATA, 0, stream, b"x" * 100))
        weir.wait_stat("cluster.upstream.upstream_rq_active", 10)
        full(tmp_path, weir)
        part = http2.frame(http2.HEADERS, 0, client.next_stream, http2.request("/up"))
        client.send(b"".join(http2.frame(http2.DATA, 1, stream, b"y") for stream in halves[:3]) + part)
        if goes_on or bypass:
            client.send(http2.frame(http2.CONTINUATION, http2.END_HEADERS, client.next_stream))
            frames = client.read_until(lambda f: f is None or (f.stream == halves[0] and f.flags & http2.END_STREAM))
            assert frames[-1] is not None
            assert any(f.type == http2.GOAWAY for f in frames) != bypass
        else:
            assert client.closed_within(30).type == http2.GOAWAY
    weir.wait_stat("http.front.downstream_rq_active", 0)
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)


@pytest.mark.parametrize("point", ["tcp_proxy_on_data", "tcp_proxy_upstream_connect"])
def test_tcp_points_as_envoy(tmp_path, server, point):
    outcomes = []

    def settings(name):
        made = tcp.simple(server.port, **logged(tmp_path / f"{name}.log"))
        return {**made, "overload_manager": manager(tmp_path, points=(point,))}

    with both(tmp_path, settings) as proxies:
        for name, proxy in proxies:
            with contextlib.closing(raw(proxy.port)) as old:
                assert answer(old).startswith(b"HTTP/1.1 200")
                full(tmp_path, proxy)
                story = [answer(old)]
                with contextlib.closing(raw(proxy.port)) as new:
                    story.append(answer(new))
            stats = counted(proxy, "overload_close|shed_load_count|scale_percent")
            outcomes.append((story, stats))
    assert outcomes[1] == outcomes[0]


def reset_manager(tmp_path, minimum, **trigger):
    action = {"name": "envoy.overload_actions.reset_high_memory_stream", "triggers": [{"name": INJECTED, **trigger}]}
    made = manager(tmp_path, action)
    return {**made, "buffer_factory_config": {"minimum_account_to_track_power_of_two": minimum}} if minimum else made


def big_answers(connection):
    """As many bytes as the path says."""
    while (asked := connection.read_request()) is not None:
        respond(connection, body=b"x" * int(asked.start.split(" ")[1][1:]))


def held_streams(port, *sizes):
    """An HTTP/2 client that takes nothing of its answers: the proxy keeps them. The first frame of each is here."""
    client = http2.Client(port, settings=b"\x00\x04" + bytes(4))  # INITIAL_WINDOW_SIZE 0
    streams = [client.open(http2.request(f"/{size}")) for size in sizes]
    seen = set()
    client.read_until(lambda f: f is None or (f.type == http2.HEADERS and not seen.add(f.stream) and len(seen) == len(streams)))
    return client, streams


def test_streams_are_not_tracked_by_default(start, tmp_path):
    with Upstream(big_answers) as server:
        inject(tmp_path, 1)
        weir = start({**simple(server.port), "overload_manager": reset_manager(tmp_path, 0, threshold={"value": 0.9})})
        pressure(weir, 100)
        client, (stream,) = held_streams(weir.port, 900000)
        client.send(http2.frame(http2.WINDOW_UPDATE, 0, 0, (1000000).to_bytes(4, "big"))
                    + http2.frame(http2.WINDOW_UPDATE, 0, stream, (1000000).to_bytes(4, "big")))
        assert len(client.answer(stream)) == 900000
        client.close()


@pytest.mark.tsan
def test_what_grows_under_pressure_is_reset_too(start, tmp_path):
    """Bodies that an upstream does not take, over HTTP/1: those that are long enough, at every refresh."""
    over = threading.Event()

    def touch(connection):
        connection.read_exactly(1)
        over.wait(60)

    with Upstream(touch) as server:
        inject(tmp_path, 1)
        weir = start({**simple(server.port), "overload_manager": reset_manager(tmp_path, 18, threshold={"value": 0.9})})
        pressure(weir, 100)
        small, large = [raw(weir.port) for _ in range(5)], [raw(weir.port) for _ in range(3)]
        for client in [*small, *large]:
            client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n" + b"x" * 1000)
        weir.wait_stat("cluster.upstream.upstream_rq_active", 8)
        for client in large:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(b"x" * 20000000)
        weir.wait_stat(COUNT, 3)
        weir.wait_stat("http.front.downstream_rq_active", 5)
        for client in [*small, *large]:
            client.close()
        weir.wait_stat("http.front.downstream_rq_active", 0)
        over.set()


def test_the_largest_streams_are_reset_as_envoy(tmp_path):
    """Half pressure: four of the eight classes, and one more. With 2^13 as the minimum they begin at 2^(13-1+3)."""
    outcomes = []
    with Upstream(big_answers) as server, both(tmp_path, lambda name: {
            **simple(server.port, **logged(tmp_path / f"{name}.log")),
            "overload_manager": reset_manager(tmp_path, 13, scaled={"scaling_threshold": 0.5, "saturation_threshold": 0.9})}) as proxies:
        for name, proxy in proxies:
            client, (small, large) = held_streams(proxy.port, 10000, 900000)
            inject(tmp_path, 0.7)
            frames = client.read_until(lambda f: f is None or f.type == http2.RST_STREAM)
            assert frames[-1] is not None and frames[-1].stream == large
            client.send(http2.frame(http2.WINDOW_UPDATE, 0, small, (100000).to_bytes(4, "big")))
            assert len(client.answer(small)) == 10000
            client.close()
            proxy.wait_stat("http.front.downstream_rq_active", 0)
            lines = whole_log(proxy, tmp_path / f"{name}.log")
            outcomes.append((frames[-1].code, sorted(lines), counted(proxy, "reset_high_memory_stream%5C.count|rq_tx_reset|rq_rx_reset")))
    assert outcomes[1] == outcomes[0]


# --- time limits ---

TIMERS = ANY + "envoy.config.overload.v3.ScaleTimersOverloadActionConfig"


def reduce_manager(tmp_path, *timers):
    return manager(tmp_path, {"name": "envoy.overload_actions.reduce_timeouts", "triggers": [threshold()], "typed_config": {
        "@type": TIMERS, "timer_scale_factors": [{"timer": t, "min_timeout": "0.2s"} for t in timers]}})


@pytest.mark.tsan
def test_time_limits_shrink(start, tmp_path, server):
    """Of what is there already: a request that waits, an answer that is not taken, a connection."""
    inject(tmp_path, 0)
    overload = reduce_manager(tmp_path, "HTTP_DOWNSTREAM_STREAM_IDLE", "HTTP_DOWNSTREAM_CONNECTION_MAX", "HTTP_DOWNSTREAM_STREAM_FLUSH")
    settings = config(overload, upstream_port=server.port, routes=[route("/hang", timeout="0s"), direct(text="x" * 1000)],
                      stream_idle_timeout="300s", common_http_protocol_options={"max_connection_duration": "300s"})
    weir = start(settings)
    client, (stuck,) = held_streams(weir.port, 0)
    with contextlib.closing(raw(weir.port)) as waiting, contextlib.closing(raw(weir.port)) as idle:
        assert answer(idle).startswith(b"HTTP/1.1 200")
        waiting.sendall(HANG)
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        inject(tmp_path, 1)
        assert b"HTTP/1.1 504" in waiting.recv(4096)
        assert idle.recv(1) == b""
        reset = client.read_until(lambda f: f is None or f.type == http2.RST_STREAM)[-1]
        assert reset is not None and reset.stream == stuck
    client.close()
    stats = weir.stats("idle_timeout|max_duration_reached|tx_flush_timeout")
    assert stats["http.front.downstream_rq_idle_timeout"] == 1
    assert stats["http.front.downstream_cx_max_duration_reached"] >= 2
    assert stats["http2.tx_flush_timeout"] == 1


def test_handshakes_get_less_time(start, tmp_path):
    inject(tmp_path, 1)
    ca = tls.Authority(tmp_path)
    settings = tls.config(tls.downstream(ca.issue("web").entry()), chain={"transport_socket_connect_timeout": "300s"})
    weir = start({**settings, "overload_manager": reduce_manager(tmp_path, "TRANSPORT_SOCKET_CONNECT")})
    pressure(weir, 100)
    with contextlib.closing(raw(weir.port)) as silent:
        assert silent.recv(1) == b""
    wait_until(lambda: 1 in weir.stats("transport_socket_connect_timeout").values(), "the count")


# --- monitors ---

def monitor(name, kind, **fields):
    return {"name": f"envoy.resource_monitors.{name}", "typed_config": {"@type": MONITORS + f"{name}.v3.{kind}", **fields}}


def test_monitors_of_the_machine(start, tmp_path):
    """What they measure is told by unit tests: here they measure something."""
    monitors = [monitor("cpu_utilization", "CpuUtilizationConfig"), monitor("cgroup_memory", "CgroupMemoryConfig", max_memory_bytes=1),
                {**monitor("cpu_utilization", "CpuUtilizationConfig", mode="CONTAINER"), "name": "container"}]
    stop = {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": [threshold(1, "envoy.resource_monitors.cgroup_memory")]}
    weir = start(config(manager(tmp_path, stop, monitors=monitors)))
    failed = weir.stats("failed_updates")
    assert len(failed) == 3
    if failed["overload.envoy.resource_monitors.cgroup_memory.failed_updates"] == 0:  # there is a cgroup
        with contextlib.closing(raw(weir.port)) as client:
            assert b"envoy overloaded" in answer(client)
    wait_until(lambda: weir.stats("pressure")["overload.envoy.resource_monitors.cpu_utilization.pressure"] > 0, "some work")

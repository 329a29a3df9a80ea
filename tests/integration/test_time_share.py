# SPDX-License-Identifier: Apache-2.0
"""A plugin's share of its worker's time, in every callback: ten streams come at one callback at the same time, each takes
8 ms of it, and a second has 40. What a stream gets then is whole: the fallback, or everything a little later. The share is
small and the streams few, so that a second passes it however slowly they come."""

import threading
import time

import pytest

from support import http1, tcp
from support.config import bootstrap, cluster, direct, hcm, http_options, listener, simple, wasm
from support.process import wait_until
from support.upstream import respond

pytestmark = pytest.mark.slow

STREAMS = 10
PERCENT = 4
CALLS_A_SECOND = 5  # of 8 ms, in 4 % of a second
WINDOW_S = 1.1  # the second that a share is counted in, and a little
PATIENT = {"callback_time_max": "10s", "worker_time_percent_max": PERCENT}  # 8 ms take longer where others run too
OPEN = {"fallback": "FAIL_OPEN", **PATIENT}


class Watch:
    """Counts a plugin's long calls since it began to work again: a second has time for five of them and the one that passes
    the share, however slow the machine is. The plugin was idle for longer than a second, so its first call begins one, unless it
    ticks."""

    def __init__(self, weir, name, *callbacks, ticks=False):
        self.weir, self.name, self.callbacks = weir, name, callbacks
        self.begun_before = int(ticks)
        self.before = self.calls()
        if not ticks:
            time.sleep(1.1)
        self.began = time.monotonic()

    def calls(self):
        callbacks = self.weir.plugin(self.name)["callbacks"]
        return sum(callbacks.get(name, {}).get("calls", 0) for name in self.callbacks)

    def had(self):
        return self.calls() - self.before

    def until(self, condition, what, deadline_s=60):
        def look():
            had, elapsed = self.had(), time.monotonic() - self.began
            assert had <= (CALLS_A_SECOND + 1) * (int(elapsed) + 1 + self.begun_before), f"{had} calls after {elapsed:.2f} s"
            return condition()

        wait_until(look, what, deadline_s)


def answers_at_once(count):
    """An upstream whose answers, three chunks and a trailer, wait until `count` requests are there."""
    barrier = threading.Barrier(count)

    def handler(connection):
        first = True
        while (request := connection.read_request()) is not None:
            if first:
                barrier.wait(30)
                first = False
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n")
            for part in (b"one", b"two", request.body or b"none"):
                connection.send(b"%x\r\n%s\r\n" % (len(part), part))
                time.sleep(0.002)  # so that parts are callbacks of their own; it is fine when they are not
            connection.send(b"0\r\nx-end: 1\r\n\r\n")

    return handler


def clients(weir, script, count=STREAMS):
    """Requests without their bodies. One that comes when a machine that stood still has used the share up is refused."""
    refused = weir.plugin("hostile")["streams_refused"]
    found = [http1.Client(weir.port) for _ in range(count)]
    for client in found:
        client.send(f"POST / HTTP/1.1\r\nhost: a\r\nx-hostile: {script}\r\ncontent-length: 4\r\n\r\n")
    wait_until(lambda: (p := weir.plugin("hostile"))["streams"] + p["streams_refused"] - refused == count, "all streams")
    return found


def collect(found):
    """Each client's answer; all threads at once, as they come in any order."""
    answers = [None] * len(found)

    def read(i):
        try:
            answers[i] = found[i].response()
        except http1.Closed:
            answers[i] = "torn"

    threads = [threading.Thread(target=read, args=(i,)) for i in range(len(found))]
    for thread in threads:
        thread.start()
    return threads, answers


def front(start, upstream, count=STREAMS, arguments=(), **policy):
    rules = [{"match": {"plugin": "hostile"}, **PATIENT, **policy}, {}]
    http1_options = {"http_protocol_options": {"enable_trailers": True}}
    fields = {"circuit_breakers": {"thresholds": [{"max_connections": 2000}]}, **http_options(explicit_http_config=http1_options)}
    return start(simple(upstream(answers_at_once(count)).port, filters=[wasm("hostile", "")], cluster_fields=fields,
                        **http1_options), *arguments, policy={"rules": rules}, level="warning")


def spin(weir, phase, count):
    """Whole requests whose plugin burns time in `phase`, in as many rounds as it takes until the plugin's `count` says that the
    share had an effect: what was watched, and all answers."""
    watch, answers = None, []
    deadline = time.monotonic() + 60
    while not weir.plugin("hostile")[count]:
        assert time.monotonic() < deadline, f"no {count} after {len(answers)} requests"
        found = clients(weir, f"spin:{phase}")
        watch = watch or Watch(weir, "hostile", phase)
        for client in found:
            client.send("body")
        threads, more = collect(found)
        watch.until(lambda: not any(t.is_alive() for t in threads), "all answers")
        watch.until(lambda: weir.plugin("hostile")["streams"] == 0, "the plugin's contexts have ended")
        answers += more
        if not weir.plugin("hostile")[count]:
            time.sleep(WINDOW_S)  # new streams of a second whose share is spent would get the fallback
    return watch, answers


@pytest.mark.parametrize("phase", ["on_request_body", "on_response_headers", "on_response_body", "on_response_trailers"])
def test_streams_under_way_wait_and_are_whole(start, upstream, phase):
    weir = front(start, upstream)
    watch, answers = spin(weir, phase, "streams_delayed")
    assert {a if a == "torn" else (a.status, a.text) for a in answers} == {(200, "onetwobody")}
    plugin = weir.plugin("hostile")
    assert watch.had() >= len(answers)
    assert plugin["time_share_passed"] > 0
    assert (plugin["streams_refused"], plugin["pauses_ended"], plugin["traps"]) == (0, 0, 0)


@pytest.mark.parametrize("phase", ["on_request_body", "on_response_headers", "on_response_body"])
def test_a_plugin_that_may_be_left_out_is(start, upstream, phase):
    """Nobody waits where the plugin has let nothing pass; a body that went on in part waits for the rest to be seen."""
    weir = front(start, upstream, **OPEN)
    _, answers = spin(weir, phase, "streams_refused")
    assert {a if a == "torn" else (a.status, a.text) for a in answers} == {(200, "onetwobody")}


@pytest.mark.parametrize("phase, count", [("on_log", "time_share_passed"), ("on_delete", "time_share_passed"),
                                          ("on_response_trailers", "calls_skipped")])
def test_the_end_of_streams(start, upstream, phase, count):
    """Answers wait for none of it; what is left out is the on_log of a stream whose last callback took the rest of the share."""
    weir = front(start, upstream)
    _, answers = spin(weir, phase, count)
    assert {a.text for a in answers} == {"onetwobody"}
    plugin = weir.plugin("hostile")
    calls = plugin["callbacks"]
    assert calls["on_delete"]["calls"] == calls["on_done"]["calls"] == len(answers)
    assert calls["on_log"]["calls"] + plugin["calls_skipped"] == len(answers)


def test_waiting_ends_with_the_pause_time(start, upstream):
    """A stream does not wait for ever for a plugin that never has time again: 1 % is one call a second."""
    weir = front(start, upstream, worker_time_percent_max=1, pause_time_max="1.5s", fallback="FAIL_CLOSED")
    found = clients(weir, "spin:on_response_headers")
    for client in found:
        client.send("body")
    threads, answers = collect(found)
    wait_until(lambda: not any(t.is_alive() for t in threads), "all answers")
    statuses = [a if a == "torn" else a.status for a in answers]
    # Those that had got their headers are cut off: nobody can finish them.
    assert 503 in statuses and set(statuses) <= {200, 503, "torn"}
    assert len(statuses) - statuses.count(200) == weir.plugin("hostile")["pauses_ended"]


def test_answers_of_callouts_wait(start, upstream):
    """Each request is held until its call is answered; the answers come when the plugin has time, none is lost."""
    asked, go = [], threading.Event()

    def service(connection):
        while connection.read_request() is not None:
            asked.append(connection)
            go.wait(60)
            respond(connection, headers=[("x-user", "u")])

    circuit = {"circuit_breakers": {"thresholds": [{"max_connections": 2000}]}}
    weir = start(bootstrap(listener(hcm(routes=[direct()], filters=[wasm("caller", "quiet; spin")])),
                           clusters=[cluster(upstream(service).port, name="auth", **circuit)]), level="warning",
                 policy={"rules": [{**PATIENT, "caps": {"log_lines_per_sec": 10}}]})
    found = [http1.Client(weir.port) for _ in range(STREAMS)]
    watch = Watch(weir, "caller", "on_http_call_response")
    for client in found:
        client.send(http1.format_request(headers={"x-calls": "auth auth /ok timeout=60000; pause"}))
    # A machine that stands still in one of these calls has used the share up, and the next request is refused.
    wait_until(lambda: len(asked) + weir.plugin("caller")["streams_refused"] == STREAMS, "all calls")
    go.set()
    threads, answers = collect(found)
    watch.until(lambda: not any(t.is_alive() for t in threads), "all answers")
    assert sorted(a.status for a in answers) == [200] * len(asked) + [503] * (STREAMS - len(asked))
    assert watch.had() == len(asked) > 0
    assert weir.plugin("caller")["time_share_passed"] > 0


@pytest.mark.parametrize("policy, seen_before", [(PATIENT, False), (OPEN, False), (OPEN, True)])
def test_bytes_of_connections_wait(start, upstream, policy, seen_before):
    """What a plugin that lets all pass has begun to see, it sees to the end; one that may be left out before is."""
    probe = tcp.network_wasm(wasm("tcp_probe", "quiet", name="probe"))
    weir = start(tcp.simple(upstream(tcp.echo).port, probe), policy={"rules": [policy]}, level="warning")
    found = [tcp.Client(weir.port) for _ in range(STREAMS)]
    wait_until(lambda: weir.plugin("probe")["streams"] == STREAMS, "all connections")
    if seen_before:
        for client in found:
            client.send(b"early")
        assert {client.read(5) for client in found} == {b"early"}
    watch = Watch(weir, "probe", "on_downstream_data", "on_upstream_data", ticks=True)
    for client in found:
        client.send(b"SPIN and more")
    got = [None] * STREAMS

    def read(i):
        got[i] = found[i].read(13)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(STREAMS)]
    for thread in threads:
        thread.start()
    watch.until(lambda: not any(t.is_alive() for t in threads), "all echoes")
    assert got == [b"SPIN and more"] * STREAMS
    plugin = weir.plugin("probe")
    assert plugin["time_share_passed"] > 0
    assert plugin["streams_refused" if policy == OPEN and not seen_before else "streams_delayed"] > 0
    for client in found:
        client.end()
        assert client.rest() == b""
    wait_until(lambda: weir.plugin("probe")["streams"] == 0, "the plugin's contexts have ended")


def test_the_log_says_what_to_change(start):
    weir = start(simple(routes=[direct()], filters=[wasm("hostile", "")]), policy={"rules": [PATIENT]})
    wait_until(lambda: (http1.request(weir.port, headers={"x-hostile": "spin:on_request_headers"}),
                        weir.plugin("hostile")["time_share_passed"])[1], "the share is used up")
    weir.wait_log(r'plugin "hostile" used its 4 % of a worker\'s time .*worker_time_percent_max')


def test_contexts_that_are_due_do_not_outlive_the_plugin(start, upstream):
    """The proxy ends while their last callbacks wait for time."""
    weir = front(start, upstream, STREAMS, ("--drain-time-s", "1"), worker_time_percent_max=1)
    found = clients(weir, "spin:on_delete")
    for client in found:
        client.send("body")
    threads, _ = collect(found)
    wait_until(lambda: weir.plugin("hostile")["callbacks"].get("on_delete") and weir.plugin("hostile")["streams"] > 0,
               "contexts that wait")
    weir.stop()
    for thread in threads:
        thread.join()

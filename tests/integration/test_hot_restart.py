# SPDX-License-Identifier: Apache-2.0
"""Hot restart: a new process takes the sockets over, the old one finishes; clients notice nothing."""

import array
import json
import os
import socket
import struct
import threading
import time

import pytest

from support import http1
from support.config import bootstrap, direct, hcm, listener, simple
from support.process import base_id, run_weir, wait_until
from support.upstream import refused_port

pytestmark = pytest.mark.tsan

OPTIONS = ("--drain-strategy", "immediate")


@pytest.fixture(name="base_id")
def own_base_id():
    return base_id()


def epoch(number, base_id, *more):
    return ("--restart-epoch", str(number), *base_id, *OPTIONS, *more)


def ended(weir):
    return wait_until(lambda: weir.process.poll() is not None, "the old process has ended")


class Load(threading.Thread):
    """One client that asks again and again, with kept connections or a new one each time."""

    def __init__(self, port, keep):
        super().__init__(daemon=True)
        self.port, self.keep, self.answers, self.error, self.enough = port, keep, [], None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.enough.is_set():
                with http1.Client(self.port) as client:
                    for _ in range(200 if self.keep else 1):
                        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
                        response = client.response()
                        assert response.status == 200
                        self.answers.append(response.text)
                        if response.get("connection") == "close" or self.enough.is_set():
                            break
        except Exception as error:  # noqa: BLE001 the test reports it
            self.error = error

    def end(self):
        self.enough.set()
        self.join(60)
        assert not self.is_alive() and self.error is None, repr(self.error)
        return self.answers


def test_no_request_fails_while_processes_replace_each_other(start, base_id):
    weirs = [start(simple(routes=[direct(text="0")]), *epoch(0, base_id), concurrency=2)]
    port = weirs[0].port
    clients = [Load(port, keep) for keep in (True, True, False, False)]
    wait_until(lambda: all(c.answers for c in clients), "all clients have begun")
    for number, workers in ((1, 1), (2, 3), (3, 2)):  # fewer sockets than workers, more, and a change back
        weirs.append(start(simple(routes=[direct(text=str(number))]), *epoch(number, base_id), concurrency=workers))
        assert weirs[-1].port == port
        ended(weirs[-2])
        seen = [len(c.answers) for c in clients]
        wait_until(lambda: all(len(c.answers) > n + 50 for c, n in zip(clients, seen)), "answers go on")
    for client in clients:
        answers = client.end()
        assert set(answers) == {"0", "1", "2", "3"} and set(answers[-40:]) == {"3"}
    assert weirs[-1].admin("/hot_restart_version").text == "weir.1"
    assert weirs[-1].stats("hot_restart_epoch")["server.hot_restart_epoch"] == 3


def test_statistics_go_on_in_the_new_process(start, base_id):
    first = start(simple(), *epoch(0, base_id))
    for _ in range(5):
        http1.request(first.port)
    with http1.Client(first.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        client.response()
        second = start(simple(), *epoch(1, base_id))
        second.wait_stat("http.front.downstream_cx_active", 1)
        second.wait_stat("http.front.downstream_rq_completed", 6)
        assert first.process.poll() is None, "a connection is open"
        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert client.response().get("connection") == "close"
    ended(first)
    second.wait_stat("http.front.downstream_cx_active", 0)
    second.wait_stat("http.front.downstream_rq_completed", 7)
    second.wait_log("the predecessor has ended")


def test_gradual_is_the_default(start, base_id):
    forever = ("--drain-time-s", "86400", "--parent-shutdown-time-s", "86400")
    first = start(simple(), "--restart-epoch", "0", *base_id, *forever)
    with http1.Client(first.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        client.response()
        start(simple(), "--restart-epoch", "1", *base_id, *forever)
        first.wait_log("the successor serves")
        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert client.response().get("connection") is None, "one in 86400 s / 0 s would be very bad luck"


def test_the_old_process_gets_only_its_time(start, base_id):
    first = start(simple(), *epoch(0, base_id))
    with http1.Client(first.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        client.response()
        began = time.monotonic()
        second = start(simple(), *epoch(1, base_id, "--parent-shutdown-time-s", "1"))
        ended(first)
        assert time.monotonic() - began >= 1
        assert client.socket.recv(1) == b""
    second.wait_log("the predecessor has ended")


def test_a_successor_that_fails_changes_nothing(start, base_id):
    first = start(simple(routes=[direct(text="old")]), *epoch(0, base_id))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = bootstrap(listener(hcm([direct()])),
                        listener(hcm([direct()]), name="second", port=taken.getsockname()[1]))
        path = first.directory / "bad.json"
        path.write_text(json.dumps(bad))
        result = run_weir("-c", path, "--concurrency", "1", *epoch(1, base_id))
        assert result.returncode == 1 and 'listener "second" cannot listen' in result.stderr
    first.wait_log("nothing has changed")
    assert http1.request(first.port).text == "old"
    assert first.admin("/ready").status == 200
    second = start(simple(routes=[direct(text="new")]), *epoch(1, base_id))
    ended(first)
    assert http1.request(second.port).text == "new" and second.admin("/ready").status == 200


def test_a_listener_that_is_gone_ends_with_the_old_process(start, base_id):
    holder, port = refused_port()
    with holder:
        first = start(bootstrap(listener(hcm([direct()])), listener(hcm([direct()]), name="old", port=port)), *epoch(0, base_id))
        assert http1.request(port).status == 200
        start(simple(), *epoch(1, base_id))
        ended(first)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_identities(start, base_id, tmp_path):
    config = tmp_path / "weir.json"
    config.write_text(json.dumps(simple()))
    start(simple(), *base_id)
    again = run_weir("-c", config, *base_id)
    assert again.returncode == 1 and "another one runs with it" in again.stderr
    nobody = run_weir("-c", config, "--restart-epoch", "2", *base_id)
    assert nobody.returncode == 1 and "no predecessor of base id" in nobody.stderr
    assert run_weir("--hot-restart-version").stdout == "weir.1\n"
    assert "--restart-epoch replaces a process" in run_weir(
        "-c", config, "--restart-epoch", "1", "--disable-hot-restart").stderr
    path = tmp_path / "base.id"
    dynamic = start(simple(), "--use-dynamic-base-id", "--base-id-path", path)
    assert path.read_text().isdigit()
    alone = start(simple(), "--restart-epoch", "7", "--skip-hot-restart-on-no-parent", "--base-id", path.read_text())
    assert alone.admin("/ready").status == 200 and dynamic.admin("/ready").status == 200


def test_nonsense_from_a_successor(start, base_id):
    weir = start(simple(), *epoch(0, base_id))
    name = f"\0weir_hot_restart_{base_id[1]}_0"

    def talk(*messages):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(30)
            s.connect(name)
            for message in messages:
                try:
                    s.send(message)
                except BrokenPipeError:
                    return b""
            try:
                return s.recv(100)
            except ConnectionResetError:
                return b""

    def head(kind, length):
        return struct.pack("=II", kind, length)

    assert talk(b"") == b"" and talk(b"\1") == b"" and talk(head(1, 100) + b"short") == b""
    assert talk(head(99, 0)) == b"" and talk(b"x" * 60000) == b""
    assert talk(head(1, 3) + b"abc")[8:] == b"weir.1"
    assert talk(head(2, 9) + b"1.2.3.4:1") == head(2, 0), "no such listener: no descriptors"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:  # descriptors that nobody asked for
        s.connect(name)
        s.sendmsg([head(99, 0)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
        assert s.recv(10) == b""
    open_fds = len(os.listdir(f"/proc/{weir.process.pid}/fd"))
    for _ in range(10):
        assert talk(head(99, 0)) == b""
    assert len(os.listdir(f"/proc/{weir.process.pid}/fd")) <= open_fds
    assert http1.request(weir.port).status == 200

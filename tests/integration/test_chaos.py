# SPDX-License-Identifier: Apache-2.0
"""Clients that leave and upstreams that misbehave, many at once and at random: nothing may leak, hang or die.

Seeded; what is checked is that every client gets an answer or an end in time, and that all gauges return to zero.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading

import pytest

from support.config import simple

SECONDS = 4
CLIENTS = 24
ANSWER_DEADLINE_S = 20
LOST = (asyncio.CancelledError, ConnectionError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)


def abort(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def read_body(reader, head):
    fields = head.lower().split(b"\r\n")
    for field in fields:
        if field.startswith(b"content-length:"):
            await reader.readexactly(int(field.split(b":")[1]))
        if field.startswith(b"transfer-encoding:"):
            while size := int((await reader.readline()).strip(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()


async def chunked(writer, rng):
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(rng.randrange(12)):
        part = b"y" * rng.randrange(1, 40000)
        writer.write(b"%x\r\n" % len(part) + part + b"\r\n")
        await writer.drain()
        if rng.random() < 0.02:
            abort(writer)
            return False
    writer.write(b"0\r\nx-t: 1\r\n\r\n")
    await writer.drain()
    return True


async def answer(writer, rng):
    """One answer, good or bad; whether the connection goes on."""
    kind = rng.random()
    if kind < 0.05:
        return False
    if kind < 0.10:
        abort(writer)
        return False
    if kind < 0.15:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
        return False
    if kind < 0.20:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * rng.randrange(50000))
        return False
    if kind < 0.45:
        return await chunked(writer, rng)
    writer.write({0: b"garbage\r\n\r\n", 1: b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokEXTRA",
                  2: b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                  3: b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"}.get(
                      rng.randrange(12), b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n" + b"z" * 60000))
    await writer.drain()
    return True


async def upstream(reader, writer, rng):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if rng.random() > 0.15:  # else an answer before the request has ended
                await read_body(reader, head)
            if rng.random() < 0.05:
                await asyncio.sleep(0.4)  # beyond the route's timeout
            if not await answer(writer, rng):
                return
    except LOST:
        pass
    finally:
        writer.close()


def make_request(rng):
    kind = rng.random()
    if kind < 0.6:
        return b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * rng.choice([1, 1, 1, 3])
    if kind < 0.8:
        body = b"b" * rng.choice([0, 1, 5000, 200000])
        return b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    parts = [b"c" * rng.randrange(1, 20000) for _ in range(rng.randrange(8))]
    return (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" +
            b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in parts) + b"0\r\n\r\n")


async def visit(port, rng):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for _ in range(rng.randrange(1, 8)):
            request = make_request(rng)
            if rng.random() < 0.1:
                writer.write(request[:rng.randrange(len(request))])
                if rng.random() < 0.5:
                    abort(writer)
                return
            writer.write(request)
            await asyncio.wait_for(writer.drain(), ANSWER_DEADLINE_S)
            if rng.random() < 0.1:
                writer.write_eof()
                return
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_DEADLINE_S)
            if rng.random() < 0.5:  # some of the body, if there is one
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(65536), 0.02)
    except asyncio.TimeoutError:
        raise AssertionError("a client got no answer") from None
    except LOST:
        pass
    finally:
        writer.close()


async def client(port, seed, end):
    rng, visits = random.Random(seed), 0
    while asyncio.get_running_loop().time() < end:
        await visit(port, rng)
        visits += 1
    return visits


class ChaosUpstream(threading.Thread):
    """The bad upstream, on a loop of its own."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.rng, self.loop = random.Random(seed), asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(
            lambda r, w: upstream(r, w, self.rng), "127.0.0.1", 0, limit=1 << 20))
        self.port = self.server.sockets[0].getsockname()[1]
        self.start()

    def run(self):
        self.loop.run_forever()

    async def _end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks) if tasks else None

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()
        self.loop.close()


async def storm(port):
    end = asyncio.get_running_loop().time() + SECONDS
    return sum(await asyncio.gather(*(client(port, seed, end) for seed in range(CLIENTS))))


@pytest.mark.tsan
@pytest.mark.parametrize("limits", [{}, {"max_connections": 6, "max_pending_requests": 4, "max_requests": 8}])
def test_storm(start, limits):
    bad = ChaosUpstream(5)
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0.3s"}}]
    weir = start(simple(bad.port, routes=routes, cluster_fields={
        "per_connection_buffer_limit_bytes": 32768, "max_requests_per_connection": 50,
        "circuit_breakers": {"thresholds": [limits]}}), concurrency=2)
    assert asyncio.run(storm(weir.port)) > CLIENTS
    bad.stop()
    for gauge in ("upstream_rq_active", "upstream_rq_pending_active"):
        weir.wait_stat(f"cluster.upstream.{gauge}", 0)
    assert weir.stats("upstream_rq_total")["cluster.upstream.upstream_rq_total"] > CLIENTS

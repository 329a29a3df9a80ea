# SPDX-License-Identifier: Apache-2.0
"""Everything at once for a while: HTTP/1, HTTP/2, TLS, plugins that trap, retries, bodies both ways, clients that reset and that
read slowly, upstreams killed and revived, names that change their addresses. No crash, no wrong answer, no leak.

`make soak` runs it for ten minutes (WEIR_SOAK_SECONDS); CI for some seconds, also under the sanitizers.
"""

import asyncio
import collections
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.config import ANY, bootstrap, cluster, hcm, listener, route, wasm
from support.dns import DnsServer
from support.process import SANITIZED, wait_until
from support.soak_upstream import body_of
from support.tls import Authority, context, downstream, secured
from support.upstream import hold_port, same_port

pytestmark = pytest.mark.alone

SECONDS = float(os.environ.get("WEIR_SOAK_SECONDS", "8"))
LONG = SECONDS >= 60
CLIENTS = 4 if SANITIZED else 12
NAME = "soak.test"
# What a client may see of an upstream that was killed, or that broke.
EXCUSED = {500, 502, 503, 504}
TIMEOUT_S = 60
# Of curl: an HTTP/2 stream was reset, the connection ended, a part is missing.
CURL_CUT_OFF = {"18", "52", "55", "56", "92"}


class Upstreams:
    """Three servers of one name, on one port of three addresses; at least one lives."""

    def __init__(self):
        self.addresses = [f"127.0.0.{10 + i}" for i in range(3)]
        self.holders = same_port(*(lambda port, ip=ip: hold_port(ip, port) for ip in self.addresses))
        self.port = self.holders[0].getsockname()[1]
        self.processes = [None] * 3
        for i in range(3):
            self.revive(i)

    def revive(self, i):
        self.processes[i] = subprocess.Popen(
            [sys.executable, "-m", "support.soak_upstream", self.addresses[i], str(self.port)], cwd=Path(__file__).parent)
        wait_until(lambda: self._listens(i), "an upstream listens")

    def _listens(self, i):
        try:
            socket.create_connection((self.addresses[i], self.port), 1).close()
            return True
        except OSError:
            return False

    def kill(self, i):
        self.processes[i].send_signal(signal.SIGKILL)
        self.processes[i].wait()

    def close(self):
        for i in range(3):
            self.kill(i)


def configuration(upstreams, dns, pair):
    resolver = {"name": "envoy.network.dns_resolver.cares", "typed_config": {
        "@type": ANY + "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [dns.address],
        "use_resolvers_as_fallback": False}}
    named = cluster(upstreams.port, name="named")
    named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] = NAME
    named |= {"type": "STRICT_DNS", "dns_refresh_rate": "0.2s", "respect_dns_ttl": False, "dns_lookup_family": "V4_ONLY",
              "typed_dns_resolver_config": resolver,
              "circuit_breakers": {"thresholds": [{"max_retries": 1000}]}}
    hostile = wasm("hostile", "", failure_policy="FAIL_OPEN")
    good = wasm("add-header", {"response": {"x-soak": "yes"}})
    again = {"retry_on": "5xx,reset,connect-failure,refused-stream", "num_retries": 3,
             "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                 "@type": ANY + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}
    hosts = [{"name": "again", "domains": ["again"], "routes": [route("/", "named", timeout="20s", retry_policy=again)]},
             {"name": "once", "domains": ["*"], "routes": [route("/", "named", timeout="20s")]}]
    front = hcm(filters=[good, hostile], virtual_hosts=hosts, codec_type="AUTO")
    tls = downstream(pair.entry(), common={"alpn_protocols": ["h2", "http/1.1"]})
    return bootstrap(listener(front), secured(tls, front, name="secure"), clusters=[named])


class Tally:
    def __init__(self):
        self.good = collections.Counter()
        self.excused = collections.Counter()
        self.wrong = []

    def note(self, kind, status, right):
        if status in EXCUSED:
            self.excused[f"{kind} {status}"] += 1
        elif status == 200 and right:
            self.good[kind] += 1
        else:
            self.wrong.append((kind, status))


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


async def read_answer(reader, slowly=0.0):
    """None: the connection ended in the middle, which a broken upstream may cause."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    fields = {k.lower(): v for k, v in (line.split(b": ", 1) for line in lines[1:])}
    body = b""
    if fields.get(b"transfer-encoding"):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    else:
        left = int(fields.get(b"content-length", 0))
        while left:
            part = await reader.read(min(left, 8192 if slowly else left))
            if not part:
                raise asyncio.IncompleteReadError(body, left)
            body += part
            left -= len(part)
            if slowly:
                await asyncio.sleep(slowly)
    return Answer(int(lines[0].split()[1]), fields, body)


def request_of(rng):
    """(bytes, expected body, kind)."""
    host = rng.choice((b"once", b"again"))
    if rng.random() < 0.6:
        count, seed = rng.choice((0, 1, 100, 2000, 40_000, 300_001)), rng.randrange(1000)
        hostile = b"x-hostile: trap:%s\r\n" % rng.choice((b"on_request_headers", b"on_response_headers", b"on_log"))
        trap = hostile if rng.random() < 0.02 else b""
        return b"GET /bytes/%d/%d HTTP/1.1\r\nhost: %s\r\n%s\r\n" % (count, seed, host, trap), body_of(count, seed), f"get {host.decode()}"
    body = body_of(rng.choice((1, 1000, 70_001)), rng.randrange(1000))
    if rng.random() < 0.5:
        return b"POST /echo HTTP/1.1\r\nhost: %s\r\ncontent-length: %d\r\n\r\n" % (host, len(body)) + body, body, "post"
    parts = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 9000]), body[i:i + 9000]) for i in range(0, len(body), 9000))
    return b"POST /echo HTTP/1.1\r\nhost: %s\r\ntransfer-encoding: chunked\r\n\r\n" % host + parts + b"0\r\n\r\n", body, "chunked"


async def h1_client(connect, name, tally, end, rng):
    while time.monotonic() < end:
        try:
            reader, writer = await connect()
        except OSError as error:
            tally.wrong.append((name, repr(error)))
            return
        try:
            for _ in range(rng.randrange(1, 60)):
                if time.monotonic() >= end:
                    break
                data, expected, kind = request_of(rng)
                fate = rng.random()
                if fate < 0.02:  # a client that goes away in the middle
                    writer.write(data[:rng.randrange(1, len(data) + 1)])
                    raw = writer.transport.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    break
                writer.write(data)
                answer = await asyncio.wait_for(read_answer(reader, 0.002 if fate > 0.97 else 0.0), TIMEOUT_S)
                right = answer.body == expected and answer.fields.get(b"x-soak") == b"yes"
                tally.note(f"{name} {kind}", answer.status, right)
                if answer.fields.get(b"connection") == b"close":
                    break
        except TimeoutError:
            tally.wrong.append((name, "no answer"))
        except (asyncio.IncompleteReadError, ConnectionError):
            tally.excused[f"{name} cut off"] += 1
        finally:
            writer.close()


async def h2load(url, tally, end, name):
    """Volume on many streams; bodies are not looked at."""
    while time.monotonic() < end:
        process = await asyncio.create_subprocess_exec("h2load", "-n", "400", "-c", "4", "-m", "16", "-T", str(TIMEOUT_S), url,
                                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = (await process.communicate())[0].decode()
        codes = [int(n) for n in re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups()]
        tally.good[name] += codes[0]
        tally.excused[f"{name} 5xx"] += codes[3]
        tally.excused[f"{name} reset"] += int(re.search(r"(\d+) failed", text)[1]) - codes[3]
        if codes[1] or codes[2] or int(re.search(r"(\d+) timeout", text)[1]):
            tally.wrong.append((name, text))


async def curl(base, directory, tally, end, rng, name, *flags):
    """HTTP/2 with bodies that are looked at. One after the other: curl 7.88 fails on a second stream after prior knowledge."""
    directory.mkdir()
    while time.monotonic() < end:
        wanted = [(rng.choice((10, 5000, 100_001, 30_000)), rng.randrange(1000))]
        command = ["curl", "-s", *flags, "--max-time", str(TIMEOUT_S),
                   "-w", "%{urlnum} %{exitcode} %{http_code} %{http_version}\\n"]
        for i, (count, seed) in enumerate(wanted):
            command += ["-o", str(directory / str(i)), f"{base}/bytes/{count}/{seed}"]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in (await process.communicate())[0].decode().splitlines():
            i, code, status, version = line.split(" ")
            got = (directory / i).read_bytes() if (directory / i).exists() else b""
            (directory / i).unlink(missing_ok=True)
            if code in CURL_CUT_OFF:
                tally.excused[f"{name} cut off"] += 1
            else:
                tally.note(name if code == "0" else f"{name} exit {code}", int(status), code == "0" and version == "2" and got == body_of(*wanted[int(i)]))


async def chaos(upstreams, dns, end, rng):
    loop = asyncio.get_running_loop()
    while time.monotonic() < end - 1:
        victim = rng.randrange(3)
        others = [a for i, a in enumerate(upstreams.addresses) if i != victim]
        await loop.run_in_executor(None, upstreams.kill, victim)
        await asyncio.sleep(rng.random() * 0.5)
        dns.mode = rng.choice(("answer", "answer", "answer", "servfail", "silent"))
        dns.set(NAME, *rng.choice((others, others[:1], others[1:], upstreams.addresses, others)))
        await asyncio.sleep(rng.random())
        await loop.run_in_executor(None, upstreams.revive, victim)
        dns.mode = "answer"
        dns.set(NAME, *rng.choice((upstreams.addresses, others + [upstreams.addresses[victim]])))
        await asyncio.sleep(rng.random())


async def watch(weir, end, sizes):
    while time.monotonic() < end:
        sizes.append(weir.rss_bytes())
        await asyncio.sleep(min(5.0, SECONDS / 8))


async def soak(weir, upstreams, dns, directory, tally, sizes):
    end = time.monotonic() + SECONDS
    rng = random.Random(7)
    port, secure = weir.port, weir.listener_port("secure")
    client = context()

    def plain():
        return asyncio.open_connection("127.0.0.1", port, limit=1 << 20)

    def tls():
        return asyncio.open_connection("127.0.0.1", secure, limit=1 << 20, ssl=client, server_hostname="a.example")

    work = [h1_client(plain, "h1", tally, end, random.Random(i)) for i in range(CLIENTS)]
    work += [h1_client(tls, "tls", tally, end, random.Random(100 + i)) for i in range(CLIENTS // 2)]
    work += [h2load(f"http://127.0.0.1:{port}/bytes/1000/5", tally, end, "h2load"),
             h2load(f"https://127.0.0.1:{secure}/bytes/1000/5", tally, end, "h2load tls"),
             curl(f"http://127.0.0.1:{port}", directory / "h2c", tally, end, random.Random(98), "h2c", "--http2-prior-knowledge"),
             curl(f"https://127.0.0.1:{secure}", directory / "h2", tally, end, random.Random(99), "h2", "-k", "--http2"),
             chaos(upstreams, dns, end, rng), watch(weir, end, sizes)]
    await asyncio.gather(*work)


def open_fds(weir):
    return len(os.listdir(f"/proc/{weir.process.pid}/fd"))


@pytest.mark.tsan
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.skipif(not shutil.which("h2load") or not shutil.which("curl"), reason="no h2load or curl")
def test_soak(start, tmp_path):
    upstreams = Upstreams()
    tally, sizes = Tally(), []
    try:
        with DnsServer() as dns:
            dns.set(NAME, *upstreams.addresses)
            pair = Authority(tmp_path / "ca").issue("web")
            weir = start(configuration(upstreams, dns, pair), concurrency=2, level="warning", policy=False)
            fds = open_fds(weir)
            asyncio.run(soak(weir, upstreams, dns, tmp_path, tally, sizes))
            print(dict(tally.good), dict(tally.excused), [s >> 20 for s in sizes])
            assert not tally.wrong, tally.wrong[:20]
            good, excused = sum(tally.good.values()), sum(tally.excused.values())
            kinds = [f"{way} {kind}" for way in ("h1", "tls") for kind in ("get once", "get again", "post", "chunked")]
            assert all(tally.good[k] for k in [*kinds, "h2load", "h2load tls", "h2c", "h2"]), tally.good
            once, again = (sum(n for k, n in tally.excused.items() if f"get {how}" in k) for how in ("once", "again"))
            assert again * 10 < once + 20, "retries help"
            assert good > 3 * excused, tally.excused
            # The storm is over: what is left is what was there before.
            for name in ("http.front.downstream_rq_active", "http.front.downstream_cx_active", "cluster.named.upstream_rq_active",
                         "cluster.named.upstream_rq_pending_active"):
                weir.wait_stat(name, 0)
            idle = weir.stats("cluster.named.upstream_cx_active")["cluster.named.upstream_cx_active"]
            wait_until(lambda: open_fds(weir) <= fds + idle + 8, "descriptors are given back")
            if LONG:
                settled = sizes[len(sizes) // 4]
                assert max(sizes[-5:]) < settled * 1.15 + (8 << 20), [s >> 20 for s in sizes]
    finally:
        upstreams.close()

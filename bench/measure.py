# SPDX-License-Identifier: Apache-2.0
"""Figures from the operating system's own accounting: CPU time per request, resident memory, wrk's latencies."""

import os
import re
import socket
import statistics
import subprocess
import tempfile

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(pid):
    """User and system time of the whole process, in microseconds."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1])


def wrk(port, seconds, connections, cpus, body_bytes=0, url=None):
    """GET, or POST of that many bytes."""
    command = ["taskset", "-c", cpus, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
               url or f"http://127.0.0.1:{port}/"]
    if body_bytes:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(f'wrk.method = "POST"\nwrk.body = string.rep("x", {body_bytes})\n')
            script.flush()
            out = subprocess.run([*command, "-s", script.name], capture_output=True, text=True, check=True).stdout
    else:
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return figures_of(out)


def figures_of(out):
    """What wrk --latency printed."""
    if re.search(r"Non-2xx|Socket errors", out):
        raise RuntimeError(f"not every answer was good:\n{out}")
    requests = int(re.search(r"(\d+) requests in", out)[1])

    def latency_us(percent):
        number, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", out, re.M).groups()
        return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]

    return {"requests": requests, "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
            "p50_us": latency_us(50), "p99_us": latency_us(99)}


def load(peer, seconds, connections, cpus, body_bytes=0):
    """One measured run. The warm-up before it is not counted."""
    before = cpu_us(peer.pid)
    figures = wrk(peer.port, seconds, connections, cpus, body_bytes)
    figures["cpu_us"] = (cpu_us(peer.pid) - before) / figures["requests"]
    figures["rss_kib"] = rss_kib(peer.pid)
    return figures


def median(runs):
    """Figure by figure; the CPU time keeps its spread."""
    result = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    result["cpu_us_runs"] = sorted(run["cpu_us"] for run in runs)
    return result


def idle_connection_bytes(peer, count=1000):
    """Growth of resident memory per connection that has had one request and stays open."""
    request = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"
    sockets = []

    def open_some(number):
        for _ in range(number):
            s = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
            s.sendall(request)
            s.recv(4096)
            sockets.append(s)

    try:
        open_some(50)  # what is allocated once
        before = rss_kib(peer.pid)
        open_some(count)
        return (rss_kib(peer.pid) - before) * 1024 / count
    finally:
        for s in sockets:
            s.close()

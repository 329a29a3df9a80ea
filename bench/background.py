# SPDX-License-Identifier: Apache-2.0
"""The row about compiling with care behind a proxy that serves: what other traffic feels of it, and how fast the code is that
serves meanwhile."""

import copy
from pathlib import Path
import time

import envoy_config
import measure
import peers

COMPILE_MAX_S = 600


def two_listeners(module, port):
    """The first one without a plugin, as all rows have it, and one with the big plugin at `port`."""
    config = envoy_config.bootstrap()
    listeners = config["static_resources"]["listeners"]
    listeners += copy.deepcopy(envoy_config.bootstrap(plugins=[envoy_config.plugin(module, "big", "{}")]))[
        "static_resources"]["listeners"]
    listeners[1]["name"] = "big"
    listeners[1]["address"]["socket_address"]["port_value"] = port
    return config


def compilers(pid):
    """Processes that the proxy started and that still run."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += children.read_text().split()
    return found


def figures(peer, seconds, connections, cpus, port):
    before = measure.cpu_us(peer.pid)
    run = measure.wrk(peer.port, seconds, connections, cpus, url=f"http://127.0.0.1:{port}/")
    run["cpu_us"] = (measure.cpu_us(peer.pid) - before) / run["requests"]
    return run


def row(directory, module, seconds, connections, server_cpus, client_cpus):
    """Figures by name; None when the compilation was over before anything could be measured."""
    cache, port = directory / "background-cache", peers.free_port()
    policy = directory / "background-policy.json"
    policy.write_text('{"rules": [{"worker_time_percent_max": 100, "callback_time_max": "5s"}]}')
    config = two_listeners(module, port)
    rows = {}
    both = f"{server_cpus},{client_cpus}"
    with peers.Weir(directory, both, config, cache=cache, policy=policy) as peer:
        began = time.monotonic()
        during = [figures(peer, seconds, connections, client_cpus, peer.port) for _ in range(3)]
        rows["quick code, CPU us per request"] = figures(peer, seconds, 4, client_cpus, port)["cpu_us"]
        if not compilers(peer.pid):
            return None
        while compilers(peer.pid):
            if time.monotonic() - began > COMPILE_MAX_S:
                raise RuntimeError("the compilation in the background does not end")
            time.sleep(0.1)
        rows["compiled with care after, s"] = time.monotonic() - began
        idle = [figures(peer, seconds, connections, client_cpus, peer.port) for _ in range(3)]
        for name in ("p50_us", "p99_us"):
            rows[f"other traffic, {name}, meanwhile"] = measure.median(during)[name]
            rows[f"other traffic, {name}, afterwards"] = measure.median(idle)[name]
        rows["p99 meanwhile / afterwards"] = measure.median(during)["p99_us"] / measure.median(idle)["p99_us"]
    with peers.Weir(directory, both, config, cache=cache, policy=policy) as peer:
        rows["careful code, CPU us per request"] = figures(peer, seconds, 4, client_cpus, port)["cpu_us"]
    return rows

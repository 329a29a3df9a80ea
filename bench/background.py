# SPDX-License-Identifier: Apache-2.0
"""The row about compiling with care behind a proxy that serves: what other traffic feels of it, and how fast the code is that
serves meanwhile."""

import copy
import os
import signal
import time
from pathlib import Path

import envoy_config
import measure
import peers

ROUNDS = 5
RUN_MAX_S = 3  # the whole row takes less than 90 s
BEGINS_S = 5
FINISH_MAX_S = 30


class Weir(peers.Weir):
    """In the session of its clients: the kernel's autogroups share processors between sessions whatever their priorities
    are, and the clients would have to share theirs with the compiler. Clients of real proxies are elsewhere."""

    own_session = False


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


def tell(pid, number):
    """Sends the signal to the compilers of the proxy; false when there are none."""
    found = [int(child) for child in compilers(pid)]
    for child in found:
        os.kill(child, number)
    return bool(found)


def figures(peer, seconds, connections, cpus, port):
    before = measure.cpu_us(peer.pid)
    run = measure.wrk(peer.port, seconds, connections, cpus, url=f"http://127.0.0.1:{port}/")
    run["cpu_us"] = (measure.cpu_us(peer.pid) - before) / run["requests"]
    return run


def wait_while(condition, seconds):
    """False when it still holds after so long."""
    deadline = time.monotonic() + seconds
    while condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not condition()


def pairs(peer, seconds, connections, client_cpus):
    """Runs while the compiler works and while it is stopped, in turns: the machine's other affairs are in both."""
    during, idle = [], []
    for _ in range(ROUNDS):
        run = figures(peer, seconds, connections, client_cpus, peer.port)
        if not tell(peer.pid, signal.SIGSTOP):
            break  # it was over before the run was
        during.append(run)
        idle.append(figures(peer, seconds, connections, client_cpus, peer.port))
        tell(peer.pid, signal.SIGCONT)
    return during, idle


def row(directory, module, seconds, connections, server_cpus, client_cpus):
    """Figures by name; None when the compilation was over before anything could be measured."""
    cache, port = directory / "background-cache", peers.free_port()
    policy = directory / "background-policy.json"
    policy.write_text('{"rules": [{"worker_time_percent_max": 100, "callback_time_max": "5s"}]}')
    config = two_listeners(module, port)
    rows = {}
    seconds = min(seconds, RUN_MAX_S)
    both = f"{server_cpus},{client_cpus}"
    with Weir(directory, both, config, cache=cache, policy=policy) as peer:
        began = time.monotonic()
        wait_while(lambda: not compilers(peer.pid), BEGINS_S)
        during, idle = pairs(peer, seconds, connections, client_cpus)
        if not during:
            return None
        for name in ("p50_us", "p99_us"):
            rows[f"other traffic, {name}, meanwhile"] = measure.median(during)[name]
            rows[f"other traffic, {name}, compiler stopped"] = measure.median(idle)[name]
        rows["p99 meanwhile / stopped"] = measure.median(during)["p99_us"] / measure.median(idle)["p99_us"]
        if tell(peer.pid, signal.SIGSTOP):
            rows["quick code, CPU us per request"] = figures(peer, seconds, 4, client_cpus, port)["cpu_us"]
            tell(peer.pid, signal.SIGCONT)
        # It gets what nobody else wants: on a machine that is never idle it may not come to its end.
        if not wait_while(lambda: compilers(peer.pid), FINISH_MAX_S):
            return rows
        rows["compiled with care after, s"] = time.monotonic() - began
    with Weir(directory, both, config, cache=cache, policy=policy) as peer:
        rows["careful code, CPU us per request"] = figures(peer, seconds, 4, client_cpus, port)["cpu_us"]
    return rows

# SPDX-License-Identifier: Apache-2.0
"""Rows about size: what a request costs, and how long a start takes, with 1,000 routes to 1,000 clusters."""

import functools
import subprocess
import tempfile

import envoy_config
import measure
import peers

SERVER_CPUS, CLIENT_CPUS = "0", "1"
COUNT = 1000


def many(upstream_port, count=COUNT):
    """Route i, by prefix, to cluster i; all clusters have the same one endpoint. "/" is the last route."""
    config = envoy_config.bootstrap(upstream_port)
    resources = config["static_resources"]
    first = resources["clusters"][0]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    for i in range(count):
        name = f"service-{i}"
        resources["clusters"].append(
            {**first, "name": name, "load_assignment": {**first["load_assignment"], "cluster_name": name}})
        routes.insert(i, {"match": {"prefix": f"/service/{i}/"}, "route": {"cluster": name}})
    return config


def paths_script(paths):
    """wrk asks for each in turn."""
    script = tempfile.NamedTemporaryFile("w", suffix=".lua")
    script.write("local paths = {%s}\nlocal n = 0\n" % ",".join(f'"{p}"' for p in paths))
    script.write('function request() n = n % #paths + 1 return wrk.format("GET", paths[n]) end\n')
    script.flush()
    return script


def load(script, peer, seconds, connections, cpus):
    """As measure.load, with the paths of the script."""
    before = measure.cpu_us(peer.pid)
    command = ["taskset", "-c", cpus, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name,
               f"http://127.0.0.1:{peer.port}/"]
    figures = measure.figures_of(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    figures["cpu_us"] = (measure.cpu_us(peer.pid) - before) / figures["requests"]
    figures["rss_kib"] = measure.rss_kib(peer.pid)
    return figures


class Rows:
    """Of bench.Bench."""

    def routes(self):
        starts = {}

        def noted(name, make):
            def start():
                peer = make()
                starts[name] = peer.start_s
                return peer
            return start

        with peers.Nginx(self.directory, CLIENT_CPUS, text="hello from the upstream") as upstream:
            for title, paths in (("the last one", [f"/service/{COUNT - 1}/x"]),
                                 ("all in turn", [f"/service/{i}/x" for i in range(COUNT)])):
                makers = {}
                for count, suffix in ((0, " 1"), (COUNT, f" {COUNT}")):
                    config = many(upstream.port, count)
                    makers |= {name + suffix: noted(name + suffix, make) for name, make in self.both(config).items()}
                with paths_script(paths) as script:
                    figures = self.compare(f"1 and {COUNT:,} routes to as many clusters, {title}", makers, base="weir 1",
                                           load=functools.partial(load, script))
                for name in ("weir", "envoy"):
                    if f"{name} 1" in figures:
                        grown = figures[f"{name} {COUNT}"]["cpu_us"] / figures[f"{name} 1"]["cpu_us"]
                        print(f"  {name} {COUNT} / {name} 1: {grown:.2f}")
        self.results["start with many routes, s"] = starts
        print("  from start to the first answer, ms: " +
              ", ".join(f"{name} {s * 1000:.0f}" for name, s in starts.items()))

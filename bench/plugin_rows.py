# SPDX-License-Identifier: Apache-2.0
"""Rows about plugins: the same one from each SDK, one that rewrites bodies, and plain computing; Weir beside Envoy."""

import functools
import sys
from pathlib import Path

import envoy_config
import measure
import peers

SERVER_CPUS, CLIENT_CPUS = "0", "1"


def sdk_modules(languages=None):
    """tests/sdk's plugin by language; without those whose toolchain is missing."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/sdk"))
    import build
    modules = {}
    for language in languages or build.LANGUAGES:
        try:
            modules[language] = build.built(language)
        except build.Missing as reason:
            print(f"{language}: left out, {reason}")
    return modules


class Rows:
    """Of bench.Bench."""

    def both(self, config):
        makers = {"weir": self.weir(config)}
        if self.envoy:
            makers["envoy"] = lambda: peers.Envoy(self.directory, SERVER_CPUS, config)
        return makers

    def sdks(self):
        """The same trivial plugin from each SDK: it reads the path and adds a response header."""
        makers = {f"{name} none": make for name, make in self.both(envoy_config.bootstrap()).items()}
        for language, module in sdk_modules().items():
            config = envoy_config.bootstrap(plugins=[envoy_config.suite(module, "trivial")])
            makers |= {f"{name} {language}": make for name, make in self.both(config).items()}
        figures = self.compare("the same plugin from each SDK", makers, base="weir none")
        costs = {name: f["cpu_us"] - figures[f"{name.split()[0]} none"]["cpu_us"] for name, f in figures.items()
                 if not name.endswith(" none")}
        self.results["one trivial plugin of each SDK"] = costs
        print("  what the plugin costs, us: " + ", ".join(f"{name} {us:.2f}" for name, us in costs.items()))

    def rewriting(self):
        """A plugin (C) that waits for a request's body and writes it back with two bytes more; the upstream reads it."""
        module = sdk_modules(["c"])["c"]
        with peers.Nginx(self.directory, CLIENT_CPUS, text="ok") as upstream:
            for size, name in ((1 << 10, "1 KiB"), (1 << 16, "64 KiB"), (1 << 20, "1 MiB")):
                makers = {}
                for plugins, suffix in (([], " without"), ([envoy_config.suite(module, "body")], "")):
                    config = envoy_config.bootstrap(upstream.port, plugins, buffer_bytes=4 << 20)
                    makers |= {f"{peer}{suffix}": make for peer, make in self.both(config).items()}
                self.compare(f"a plugin that rewrites a body of {name}", makers,
                             load=functools.partial(measure.load, body_bytes=size))

    def cpu(self):
        """Work that is nothing but computing, in tests/plugins/cpu.c: sandbox, native code and Envoy's V8."""
        for what in ("sha256 16384", "json 16384"):
            makers = {"weir none": self.weir(envoy_config.bootstrap())}
            makers |= self.both(envoy_config.bootstrap(plugins=[envoy_config.cpu(what, "v8")]))
            makers["weir native"] = self.weir(envoy_config.bootstrap(plugins=[envoy_config.cpu(what, "null")]),
                                              native=True)
            self.compare(f"{what} per request", makers)

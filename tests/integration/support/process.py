# SPDX-License-Identifier: Apache-2.0
"""The proxy as its user runs it: a process, a configuration file, an admin address, a log."""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

from . import http1

SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("WEIR_BUILD_DIR", SOURCE / "build"))
WEIR = BUILD / "bin/weir"
# A sanitized build starts and serves slowly, and others run beside it; every wait is bounded by this, none is a sleep.
DEADLINE_S = 120.0
START_S = 240.0  # plugins are compiled first
SANITIZED = bool(re.search(r"^WEIR_SANITIZE:\w+=\S", (BUILD / "CMakeCache.txt").read_text(), re.M))


# Time in which the machine stood still counts as the plugin's: without this its next streams of that second may be refused.
WHOLE_SHARE = {"rules": [{"worker_time_percent_max": 100}]}


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Polls `condition` until it returns something true, and returns that."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.01)


def run_weir(*arguments, **options):
    """Runs the proxy to its end: for --mode validate, bad input, --help."""
    options.setdefault("timeout", DEADLINE_S)
    return subprocess.run([str(WEIR), *map(str, arguments)], capture_output=True, text=True, **options)


def validate(directory, config, *arguments, **options):
    """What --mode validate says of a configuration, as a value or as YAML."""
    path = Path(directory) / ("validated.yaml" if isinstance(config, str) else "validated.json")
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return run_weir("--mode", "validate", "-c", path, *arguments, **options)


def base_id():
    """Arguments for processes that shall be one another's successors, and no other test's."""
    return ("--base-id", str(os.getpid() % 30000 * 1000 + random.randrange(1000)))


class Weir:
    """A running proxy. Use as a context manager; leaving it checks for a clean end with status 0. policy=False: none."""

    def __init__(self, directory, config, *arguments, policy=None, concurrency=1, ready=True, env=None, level="info"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_path = self.directory / ("weir.yaml" if isinstance(config, str) else "weir.json")
        self.config_path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
        self.log_path = self.directory / "weir.log"
        admin_path = self.directory / "admin.address"
        command = [str(WEIR), "-c", str(self.config_path), "--concurrency", str(concurrency), "-l", level,
                   "--admin-address-path", str(admin_path), "--wasm-cache-dir", str(self.directory / "cache"),
                   "--native-plugin-dir", str(BUILD / "tests/plugins"), *map(str, arguments)]
        policy = WHOLE_SHARE if policy is None else policy
        if policy:
            policy_path = self.directory / "policy.json"
            policy_path.write_text(policy if isinstance(policy, str) else json.dumps(policy))
            command += ["--policy", str(policy_path)]
        self.expect_status = 0
        self._log = open(self.log_path, "wb")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, cwd=SOURCE,
                                        env=dict(os.environ, **(env or {})))
        try:
            wait_until(lambda: self._alive() and admin_path.exists() and admin_path.read_text(), "admin address", START_S)
            self.admin_port = int(admin_path.read_text().rsplit(":", 1)[1])
            if ready:
                wait_until(lambda: self._alive() and self.admin("/ready").status == 200, "ready", START_S)
        except BaseException:
            self.kill()
            raise

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"weir ended with {self.process.returncode}:\n{self.log()}")
        return True

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, count=1):
        """Waits for `count` matches of a regular expression in the log; returns them."""
        def found():
            matches = re.findall(pattern, self.log())
            return matches if len(matches) >= count else None
        return wait_until(found, f"log line {pattern!r} in\n{self.log()}")

    def admin(self, path, method="GET"):
        return http1.request(self.admin_port, method, path, host="admin", timeout=START_S)  # Envoy starts VMs there

    def stats(self, pattern=""):
        """Counters and gauges by name."""
        lines = self.admin(f"/stats?filter={pattern}").text.splitlines()
        pairs = (line.split(": ", 1) for line in lines if ": " in line)
        return {name: int(value) for name, value in pairs if re.fullmatch(r"-?\d+", value)}

    def wait_stat(self, name, value):
        return wait_until(lambda: self.stats(re.escape(name).replace("\\", "%5C")).get(name) == value,
                          f"stat {name} == {value}")

    def plugin(self, name):
        plugins = json.loads(self.admin("/plugins?format=json").body)["plugins"]
        return next(p for p in plugins if p["name"] == name)

    def listener_port(self, name):
        statuses = json.loads(self.admin("/listeners?format=json").body)["listener_statuses"]
        return next(s["local_address"]["socket_address"]["port_value"] for s in statuses if s["name"] == name)

    @property
    def port(self):
        return self.listener_port("front")

    def rss_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, deadline_s=DEADLINE_S):
        return self.process.wait(deadline_s)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def abandon(self):
        """The end after a failure: what it said may tell why."""
        if self.process.poll() is not None:  # tools/junit.py knows these words
            print(f"weir ended with {self.process.returncode}:")
        print(self.log())
        self.kill()

    def stop(self):
        """SIGTERM, and the exit status it must have; sanitizers report through it."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(DEADLINE_S)
        finally:
            self.kill()
        assert status == self.expect_status, f"weir ended with {status}:\n{self.log()}"
        assert "ERROR: " not in self.log(), self.log()
        assert "runtime error:" not in self.log(), self.log()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.abandon()

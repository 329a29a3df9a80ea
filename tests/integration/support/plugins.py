# SPDX-License-Identifier: Apache-2.0
"""What the tests of plugins share: the runtimes, the directory of the shipped ones, an upstream that keeps requests."""

import json

from .config import simple
from .process import BUILD, run_weir
from .upstream import Upstream, respond

RUNTIMES = ["envoy.wasm.runtime.v8", "envoy.wasm.runtime.null"]
# Arguments of weir: the null runtime finds the shipped plugins instead of those for tests.
SHIPPED = ["--native-plugin-dir", BUILD / "plugins"]
BODY = "hello from upstream\n"


class Recording(Upstream):
    """Answers 200 and keeps each request in `requests`."""

    def __init__(self):
        self.requests = []
        super().__init__(self._answer)

    def _answer(self, connection):
        while (request := connection.read_request()) is not None:
            self.requests.append(request)
            respond(connection, headers=[("content-type", "text/plain")], body=BODY)


def refused(directory, *filters):
    """Runs weir with filters that it must refuse: exit code and output."""
    path = directory / "refused.json"
    path.write_text(json.dumps(simple(filters=filters)))
    done = run_weir("-c", path, "--concurrency", 1, "--wasm-cache-dir", directory / "cache", *SHIPPED)
    return done.returncode, done.stdout + done.stderr

# SPDX-License-Identifier: Apache-2.0
"""The command line tool as its user runs it."""

import json
import os
import subprocess

from .process import BUILD, DEADLINE_S

WEIRCTL = BUILD / "bin/weirctl"
CACHE = BUILD / "weirctl-cache"  # not the user's


def weirctl(*arguments, status=0, stdin=None, env=None, **options):
    """Runs weirctl to its end, checks its exit status (None: any), gives the finished process with text output."""
    options.setdefault("timeout", 4 * DEADLINE_S)
    done = subprocess.run([str(WEIRCTL), *map(str, arguments)], capture_output=True, text=True, input=stdin,
                          env={**os.environ, "WEIRCTL_CACHE_DIR": str(CACHE), **(env or {})}, **options)
    assert status is None or done.returncode == status, f"weirctl ended with {done.returncode}, not {status}\n{done.stdout}\n{done.stderr}"
    assert "runtime error:" not in done.stderr and "ERROR: " not in done.stderr, done.stderr
    return done


def weirctl_json(*arguments, **options):
    """The JSON value that it prints with --json."""
    return json.loads(weirctl(*arguments, "--json", **options).stdout)

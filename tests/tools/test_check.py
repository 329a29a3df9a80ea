# SPDX-License-Identifier: Apache-2.0
"""tools/check.py runs every stage, loses no failure, and leaves nothing behind; with stages of a made-up list."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_S = 60

RUN = """
import pathlib, sys
sys.path.insert(0, {tools!r})
import check
from check import ALONE, COMPUTES, WAITS, Stage
check.LOGS = check.ROOT = pathlib.Path({logs!r})
check.stages = lambda: [{stages}]
check.main()
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A Python program that runs these stages as `make check` would, whichever stages this test is part of."""
    monkeypatch.delenv("STAGES", raising=False)

    def make(*stages: str) -> list[str]:
        text = RUN.format(tools=str(ROOT / "tools"), logs=str(tmp_path), stages=", ".join(stages))
        return [sys.executable, "-c", text]
    return make


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL, **more)


def stage(name, text, *more):
    return f'Stage("{name}", ["sh", "-c", "{text}"], 30, {", ".join(more)})'


def test_all_pass(command):
    done = run(command(stage("a", "exit 0"), stage("b", "echo ok 1; echo ok 2", '("a",)', "COMPUTES"), stage("c", "exit 0", "kind=ALONE")))
    assert done.returncode == 0 and done.stdout.endswith("4 passed, 0 failed\n"), done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["WAITS", "COMPUTES", "ALONE"])
def test_a_failure_stays_one(command, kind):
    """Whatever runs beside it and after it; what needs it is not run, and fails."""
    done = run(command(stage("a", "exit 3", f"kind={kind}"), stage("b", "exit 0", '("a",)', f"kind={kind}"),
                       stage("c", "exit 0"), stage("d", "exit 0", "kind=COMPUTES")))
    assert done.returncode == 1 and done.stdout.endswith("2 passed, 2 failed\n"), done.stdout + done.stderr
    assert "FAIL b: not run, a failed" in done.stdout


@pytest.mark.parametrize("kind", ["WAITS", "COMPUTES"])
def test_a_stage_that_cannot_be_run_is_a_failure(command, tmp_path, kind):
    """Its log cannot be written: what waits for it goes on, the others run."""
    (tmp_path / "a.log").mkdir()
    done = run(command(stage("a", "exit 0", f"kind={kind}"), stage("b", "exit 0", f"kind={kind}"),
                       stage("c", "exit 0", '("a",)', "COMPUTES")))
    assert done.returncode == 1 and done.stdout.endswith("1 passed, 2 failed\n"), done.stdout + done.stderr


TEST = """
import os, pathlib
def test_busy():
    mark = pathlib.Path(__file__).with_name("seen")
    if not mark.exists():
        mark.touch()
        raise AssertionError("{first}")
    assert {second}
def test_steady(): pass
"""


def asked(tmp_path, first, second):
    """A stage of two real tests, one of which fails the first time with these words, and again unless `second`."""
    (tmp_path / "test_it.py").write_text(TEST.format(first=first, second=second))
    pytest_of = f'["{sys.executable}", "-m", "pytest", "-q", "-p", "no:cacheprovider"'
    return (f'Stage("a", {pytest_of}, "--junitxml={tmp_path}/a.xml", "test_it.py"], 60, junit=True, '
            f'again=lambda tests: {pytest_of}, "--junitxml={tmp_path}/a-again.xml", *tests])')


@pytest.mark.parametrize("first", ["late", "curl returned non-zero exit status 28", "weirctl ended with 1, not 0"])
def test_a_failure_beside_others_is_asked_again_alone(command, tmp_path, first):
    done = run(command(asked(tmp_path, first, True)))
    assert done.returncode == 0 and done.stdout.endswith("2 passed, 0 failed\n"), done.stdout + done.stderr
    assert "FAIL a: 1 passed, 1 failed" in done.stdout
    assert "unsteady, failed beside other stages and passed alone: test_it.py::test_busy\n" in done.stdout


@pytest.mark.parametrize("first, second", [("late", False), ("ERROR: AddressSanitizer: heap-use-after-free", True), ("weir ended with -6:", True),
                                           ("weirctl ended with -11, not 0", True)])
def test_a_failure_stands(command, tmp_path, first, second):
    """If it fails alone too, or if it is no matter of time at all."""
    done = run(command(asked(tmp_path, first, second)))
    assert done.returncode == 1 and done.stdout.endswith("1 passed, 1 failed\n"), done.stdout + done.stderr
    assert f"failed: a: test_it.py::test_busy: AssertionError: {first}" in done.stdout


def test_what_is_skipped_is_not_counted_as_passed(command):
    done = run(command(stage("a", "echo ok 1; echo 'ok 2 # SKIP no compiler'; echo 'ok 3 # SKIP'")))
    assert done.returncode == 0 and done.stdout.endswith("1 passed, 0 failed, 2 skipped\n"), done.stdout + done.stderr


def sdks_with_empty_path(tmp_path, **environment):
    """Two toolchains of which nothing is found."""
    return run([sys.executable, str(ROOT / "tests/sdk/build.py"), "go", "assemblyscript"],
               env={"PATH": str(tmp_path), "WEIR_SDK_DIR": str(tmp_path / "sdk"), **environment})


def test_a_missing_toolchain_is_skipped_on_a_desk(tmp_path):
    done = sdks_with_empty_path(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok go # SKIP no go: " in done.stdout and "ok assemblyscript # SKIP no npm: " in done.stdout


def test_continuous_integration_fails_without_a_toolchain(tmp_path):
    """It runs `make check` with every SDK required, and a required one that is missing is a failure."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$* $WEIR_REQUIRE_SDKS"\n')
    make.chmod(0o755)
    run_by_ci = run([str(ROOT / ".ci/run")], env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert run_by_ci.stdout == "check 1\n", run_by_ci.stderr
    make.unlink()
    done = sdks_with_empty_path(tmp_path, WEIR_REQUIRE_SDKS="1")
    assert done.returncode == 1 and done.stdout.count("not ok") == 2, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all(command, tmp_path, number):
    """What runs is ended, nothing else begins, and the status is not 0."""
    stages = [stage(name, f"echo $$ > {tmp_path}/{name}; exec sleep 50", f"kind={kind}")
              for name, kind in (("a", "WAITS"), ("b", "COMPUTES"), ("c", "WAITS"), ("d", "ALONE"))]
    check = subprocess.Popen(command(*stages), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = [tmp_path / "a", tmp_path / "b"]
    end = time.monotonic() + DEADLINE_S
    try:
        while not all(p.exists() and p.read_text().endswith("\n") for p in pids):
            assert time.monotonic() < end and check.poll() is None
            time.sleep(0.01)
        check.send_signal(number)
        assert check.wait(DEADLINE_S) != 0
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid.read_text()), 0)
        assert not (tmp_path / "c").exists() and not (tmp_path / "d").exists()
    finally:
        check.kill()
        check.wait()

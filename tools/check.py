#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every test of Weir, in stages, with one count at the end: what `make check` and CI run.

A stage that fails does not stop the others, so one run shows everything. Each stage writes
build/check/STAGE.log; the end of a failing one is printed. It must exit with 0 only when every test of
every stage passed.

Stages that compute run beside stages that mostly wait, and give way to them; what measures time or load has
the machine for itself, at the end.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import typing

import junit
from junit import Count

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOGS = BUILD / "check"
JOBS = str(os.cpu_count() or 2)
TAIL_LINES = 60
# More than this many are no accident of a busy machine.
AGAIN_MAX = 3
AGAIN_LIMIT_S = 600
# Most tests of programs wait for something.
PYTEST_PROCESSES = str(2 * (os.cpu_count() or 2))
COMPUTES, WAITS, ALONE = "computes", "waits", "alone"
FUZZ_SECONDS = os.environ.get("FUZZ_SECONDS", "20")

TAP = re.compile(r"^(ok|not ok) .*?(# SKIP.*)?$", re.M)


@dataclasses.dataclass
class Stage:
    """One command. It counts by the JUnit file it writes, else by its "ok" lines, else as one test."""
    name: str
    command: list[str]
    limit_s: int
    needs: tuple[str, ...] = ()
    kind: str = WAITS
    junit: bool = False
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    # The command that runs only these tests; None: a failure stands.
    again: typing.Callable[[list[str]], list[str]] | None = None

    @property
    def log(self) -> pathlib.Path:
        return LOGS / f"{self.name}.log"

    @property
    def report(self) -> pathlib.Path:
        return LOGS / f"{self.name}.xml"


def count_tap(text: str) -> Count:
    found = [word if word == "not ok" or not skipped else "skipped" for word, skipped in TAP.findall(text)]
    return Count(found.count("ok"), found.count("not ok"), found.count("skipped"))


def result_of(stage: Stage, status: int) -> junit.Report:
    """A stage that ended badly has at least one failure, whatever it counted."""
    result = junit.Report(Count(), [])
    if not stage.junit:
        result.count = count_tap(stage.log.read_text(errors="replace"))
    elif stage.report.is_file():
        result = junit.read(stage.report, ROOT)
    # pytest: 5 is "no tests"; there are none for this build yet.
    if stage.junit and status == 5 and result.count == Count():
        return result
    if status != 0 and result.count.failed == 0:
        result.count.failed = 1
    elif status == 0 and result.count == Count() and not stage.junit:
        result.count.passed = 1
    return result


def kill(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Stopped(Exception):
    pass


class Processes:
    """Commands that run, each in a group of its own, so that what it leaves behind ends with it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running: set[subprocess.Popen] = set()
        self.stopped = False

    def start(self, stage: Stage, log) -> subprocess.Popen:
        command = ["nice", *stage.command] if stage.kind == COMPUTES else stage.command
        with self.lock:
            if self.stopped:
                raise Stopped("stopped")
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True,
                                       env=dict(os.environ, **stage.environment))
            self.running.add(process)
            return process

    def run(self, stage: Stage) -> int:
        stage.report.unlink(missing_ok=True)
        with open(stage.log, "w") as log:
            process = self.start(stage, log)
            try:
                return process.wait(stage.limit_s)
            except subprocess.TimeoutExpired:
                log.write(f"\ncheck: stopped after {stage.limit_s} s\n")
                return 124
            finally:
                with self.lock:
                    self.running.discard(process)
                kill(process)
                process.wait()

    def stop(self) -> None:
        """Nothing begins any more, and what runs ends."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                kill(process)


def tail(path: pathlib.Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def build(name: str, *flags: str) -> list[str]:
    """Configure and build one build directory; all share the engine and the Python packages."""
    directory = BUILD / name
    # Configuring is quick, and without it a package installed meanwhile would not be seen.
    configure = ["cmake", "-S", ".", "-B", str(directory), "-G", "Ninja", "--log-level=WARNING",
                 f"-DWEIR_ENGINE_DIR={BUILD / 'engine'}", *flags]
    return ["sh", "-ec", '"$@"; exec ninja -C "$0" --quiet', str(directory), *configure]


def ctest(name: str, stage: str, *prefix: str) -> list[str]:
    return [*prefix, "ctest", "--test-dir", str(BUILD / name), "--output-on-failure", "-j", JOBS,
            "--no-tests=error", "--output-junit", str(LOGS / f"{stage}.xml")]


def pytest(stage: str, *arguments: str, prefix: tuple[str, ...] = ()) -> list[str]:
    return [*prefix, str(BUILD / "venv/bin/python3"), "-m", "pytest", "-q", "-rfE",
            "-o", "junit_logging=system-out", "-o", "junit_log_passing_tests=false", f"--junitxml={LOGS / stage}.xml", *arguments]


def driving(marks: str) -> list[str]:
    """The tests that drive built programs and have these marks. Files stay whole: their tests share programs."""
    processes = [] if marks.startswith(ALONE) else ["-n", PYTEST_PROCESSES, "--dist", "loadfile", "--no-loadscope-reorder"]
    return ["tests/integration", "-m", marks, *processes]


def on(name: str) -> dict[str, str]:
    """Which build the tests drive, and what its sanitizers do."""
    suppressions = ROOT / "tests" / "suppressions"
    return {
        "WEIR_BUILD_DIR": str(BUILD / name),
        "WEIR_SOURCE_DIR": str(ROOT),
        "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
        "LSAN_OPTIONS": f"suppressions={suppressions / 'lsan.txt'}:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": f"suppressions={suppressions / 'tsan.txt'}:halt_on_error=1:second_deadlock_stack=1:report_signal_unsafe=0",
    }


def stages() -> list[Stage]:
    # ThreadSanitizer wants a plain memory layout.
    plain = ("setarch", "-R")
    san = ("-DCMAKE_BUILD_TYPE=RelWithDebInfo",)
    python = str(BUILD / "venv/bin/python3")

    def integration(name: str, of: str, marks: str, limit_s: int, *needs: str, **more) -> Stage:
        prefix = plain if of == "tsan" else ()
        again = None if more.get("kind") == ALONE else lambda tests: pytest(f"{name}-again", *tests, prefix=prefix)
        return Stage(name, pytest(name, *driving(marks), prefix=prefix), limit_s, needs, junit=True, environment=on(of), again=again,
                     **more)

    def unit(name: str, of: str, limit_s: int, *needs: str, **more) -> Stage:
        prefix = plain if of == "tsan" else ()
        return Stage(name, ctest(of, name, *prefix), limit_s, needs, junit=True,
                     again=lambda tests: [*ctest(of, f"{name}-again", *prefix), "-R", f"^({'|'.join(map(re.escape, tests))})$"], **more)

    return [
        Stage("setup", ["tools/setup.sh", "check"], 900),
        Stage("build", ["make", "--no-print-directory", "build"], 2400, ("setup",), COMPUTES),
        Stage("rebuild", ["tools/check_rebuild.sh"], 120, ("build",), COMPUTES),
        Stage("symbols", ["python3", "tools/checks/symbols.py", "--build", "build"], 60, ("build",), COMPUTES),
        Stage("lint", ["tools/lint.sh"], 120, ("setup",)),
        Stage("tools", pytest("tools", "tests/tools"), 120, ("setup",), junit=True),
        Stage("sdk", [python, "tests/sdk/build.py"], 900, ("setup",)),
        Stage("asan-build", build("asan", "-DWEIR_SANITIZE=address,undefined", *san), 1200, ("rebuild",), COMPUTES),
        unit("unit", ".", 600, "rebuild"),
        Stage("embed", ["tests/embed/run.sh", "build"], 300, ("rebuild",)),
        Stage("demo", ["tools/check_demo.sh"], 300, ("rebuild",)),
        integration("integration", ".", "not alone", 1200, "rebuild"),
        Stage("tsan-build", build("tsan", "-DWEIR_SANITIZE=thread", *san), 1200, ("rebuild",), COMPUTES),
        unit("asan-unit", "asan", 900, "asan-build", environment=on("asan")),
        integration("asan-integration", "asan", "not alone", 1200, "asan-build"),
        unit("tsan-unit", "tsan", 900, "tsan-build", environment=on("tsan")),
        integration("tsan-integration", "tsan", "tsan and not alone", 900, "tsan-build"),
        Stage("fuzz", ["tools/fuzz.sh"], 1200, ("rebuild",), COMPUTES, environment={"FUZZ_SECONDS": FUZZ_SECONDS}),
        Stage("package", ["tools/check_package.sh"], 300, ("rebuild",), COMPUTES),
        integration("alone", ".", "alone", 600, "rebuild", kind=ALONE),
        integration("asan-alone", "asan", "alone", 600, "asan-build", kind=ALONE),
        integration("tsan-alone", "tsan", "alone and tsan", 600, "tsan-build", kind=ALONE),
    ]


def select(wanted: str) -> list[Stage]:
    every = stages()
    names = [n for n in wanted.split(",") if n]
    unknown = set(names) - {s.name for s in every}
    if unknown:
        sys.exit(f"check: no stage {', '.join(sorted(unknown))}; there are {' '.join(s.name for s in every)}")
    return [s for s in every if not names or s.name in names]


class Run:
    """Stages of a kind run one after the other, each when what it needs has ended."""

    def __init__(self, chosen: list[Stage]):
        self.chosen = chosen
        self.names = {s.name for s in chosen}
        self.changed = threading.Condition()
        self.ended: dict[str, junit.Report] = {}
        self.processes = Processes()

    def all(self) -> Count:
        begun = []
        try:
            for kinds in ((COMPUTES, WAITS), (ALONE,)):
                begun = []
                for kind in kinds:
                    begun.append(kind)
                    threading.Thread(target=self.lane, args=(kind,)).start()
                self.wait_for(begun)
            self.ask_again()
        except KeyboardInterrupt:
            self.processes.stop()
            self.wait_for(begun)
            sys.exit("check: stopped")
        return sum((r.count for r in self.ended.values()), Count())

    def ask_again(self) -> None:
        """A test that failed beside compilers may only have been late: it has the machine for itself now.

        It is named either way. A crash and what a sanitizer said stand, and so do more failures than a busy machine explains.
        """
        for stage in self.chosen:
            result = self.ended[stage.name]
            tests = [f.test for f in result.failures]
            if not stage.again or not 0 < len(tests) <= AGAIN_MAX or result.count.failed != len(tests) or any(
                    f.is_death for f in result.failures):
                continue
            alone = dataclasses.replace(stage, name=f"{stage.name}-again", command=stage.again(tests), limit_s=AGAIN_LIMIT_S)
            second = self.counted(alone)
            if second.count == Count(passed=len(tests)):
                print(f"unsteady, failed beside other stages and passed alone: {' '.join(tests)}", flush=True)
                result.count = Count(result.count.passed + len(tests), 0, result.count.skipped)
                result.failures = []
            else:
                print(f"FAIL {alone.name}: {second.count}", flush=True)

    def wait_for(self, kinds: list[str]) -> None:
        """Not by join(), which takes a thread for ended when a signal comes."""
        names = {s.name for s in self.chosen if s.kind in kinds}
        with self.changed:
            self.changed.wait_for(lambda: names <= self.ended.keys())

    def lane(self, kind: str) -> None:
        mine = [s for s in self.chosen if s.kind == kind]
        try:
            for stage in mine:
                self.one(stage)
        finally:  # whatever went wrong: nobody waits for ever, and what did not end is a failure
            with self.changed:
                for stage in mine:
                    self.ended.setdefault(stage.name, junit.Report(Count(failed=1), []))
                self.changed.notify_all()

    def one(self, stage: Stage) -> None:
        needs = set(stage.needs) & self.names
        with self.changed:
            self.changed.wait_for(lambda: needs <= self.ended.keys())
            failed = any(self.ended[n].count.failed for n in needs)
        begin = time.monotonic()
        result = junit.Report(Count(failed=1), []) if failed else self.counted(stage)
        count = result.count
        took = f"{time.monotonic() - begin:.0f} s"
        with self.changed:
            if failed:
                print(f"FAIL {stage.name}: not run, {' '.join(stage.needs)} failed", flush=True)
            elif count.failed:
                print(f"FAIL {stage.name}: {count} ({took})")
                for failure in result.failures:
                    print(f"    {failure}")
                print(f"  the end of {stage.log.relative_to(ROOT)}:")
                print(tail(stage.log), flush=True)
            else:
                skipped = f", {count.skipped} skipped" if count.skipped else ""
                print(f"ok   {stage.name}: {count.passed} passed{skipped} ({took})", flush=True)
            self.ended[stage.name] = result
            self.changed.notify_all()

    def counted(self, stage: Stage) -> junit.Report:
        try:
            return result_of(stage, self.processes.run(stage))
        except Exception as error:  # a stage that cannot even be run: the others still are
            print(f"check: {stage.name}: {error}", flush=True)
            return junit.Report(Count(failed=1), [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="?", default=os.environ.get("STAGES", ""),
                        help="only these, with commas between")
    chosen = select(parser.parse_args().stages)
    LOGS.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        # SIGINT too: a shell's `&` has it ignored, and so would all that the stages start to be interrupted.
        signal.signal(number, signal.default_int_handler)
    run = Run(chosen)
    total = run.all()
    # Once more where everybody looks: the output may be long.
    for name, result in run.ended.items():
        for failure in result.failures:
            print(f"failed: {name}: {failure}")
    print(total, flush=True)
    sys.exit(1 if total.failed or not total.passed else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every test of Weir, in stages, with one count at the end: what `make check` and CI run.

A stage that fails does not stop the others, so one run shows everything. Each stage writes
build/check/STAGE.log; the end of a failing one is printed. It must exit with 0 only when every test of
every stage passed.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOGS = BUILD / "check"
JOBS = str(os.cpu_count() or 2)
TAIL_LINES = 60
FUZZ_SECONDS = os.environ.get("FUZZ_SECONDS", "20")

TAP = re.compile(r"^(ok|not ok) ", re.M)


@dataclasses.dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


@dataclasses.dataclass
class Stage:
    """One command. It counts by the JUnit file it writes, else by its "ok" lines, else as one test."""
    name: str
    command: list[str]
    limit_s: int
    needs: tuple[str, ...] = ()
    junit: bool = False
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def log(self) -> pathlib.Path:
        return LOGS / f"{self.name}.log"

    @property
    def report(self) -> pathlib.Path:
        return LOGS / f"{self.name}.xml"


def count_junit(path: pathlib.Path) -> Count:
    count = Count()
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    return count


def count_tap(text: str) -> Count:
    found = TAP.findall(text)
    return Count(found.count("ok"), found.count("not ok"))


def count_stage(stage: Stage, status: int) -> Count:
    """A stage that ended badly has at least one failure, whatever it counted."""
    count = Count()
    if stage.junit and stage.report.is_file():
        try:
            count = count_junit(stage.report)
        except xml.etree.ElementTree.ParseError:
            count = Count(failed=1)
    elif not stage.junit:
        count = count_tap(stage.log.read_text(errors="replace"))
    # pytest: 5 is "no tests"; there are none for this build yet.
    if stage.junit and status == 5 and count == Count():
        return count
    if status != 0 and count.failed == 0:
        count.failed = 1
    elif status == 0 and count == Count() and not stage.junit:
        count.passed = 1
    return count


def run(stage: Stage) -> int:
    """Run the command in a group of its own, so that what it leaves behind ends with it."""
    stage.report.unlink(missing_ok=True)
    with open(stage.log, "w") as log:
        process = subprocess.Popen(stage.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env=dict(os.environ, **stage.environment))
        try:
            return process.wait(stage.limit_s)
        except subprocess.TimeoutExpired:
            log.write(f"\ncheck: stopped after {stage.limit_s} s\n")
            return 124
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def tail(path: pathlib.Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
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
    return [*prefix, str(BUILD / "venv/bin/python3"), "-m", "pytest", "-q",
            f"--junitxml={LOGS / stage}.xml", *arguments]


def driving(*arguments: str) -> list[str]:
    """The directories of tests that drive built programs."""
    return [d for d in ("tests/integration", "tests/conformance") if (ROOT / d).is_dir()] + list(arguments)


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
    return [
        Stage("setup", ["tools/setup.sh", "check"], 900),
        Stage("lint", ["tools/lint.sh"], 120),
        Stage("tools", pytest("tools", "tests/tools"), 120, ("setup",), junit=True),
        Stage("build", ["make", "--no-print-directory", "build"], 2400, ("setup",)),
        Stage("rebuild", ["tools/check_rebuild.sh"], 120, ("build",)),
        Stage("symbols", ["python3", "tools/checks/symbols.py", "--build", "build"], 60, ("build",)),
        Stage("unit", ctest(".", "unit"), 600, ("build",), junit=True),
        Stage("embed", ["tests/embed/run.sh", "build"], 300, ("build",)),
        Stage("demo", ["tools/check_demo.sh"], 300, ("build",)),
        Stage("sdk", [str(BUILD / "venv/bin/python3"), "tests/sdk/build.py"], 900, ("setup",)),
        Stage("integration", pytest("integration", *driving()), 900, ("build",), junit=True, environment=on(".")),
        Stage("asan-build", build("asan", "-DWEIR_SANITIZE=address,undefined", *san), 900, ("build",)),
        Stage("asan-unit", ctest("asan", "asan-unit"), 900, ("asan-build",), junit=True, environment=on("asan")),
        Stage("asan-integration", pytest("asan-integration", *driving()), 1200, ("asan-build",), junit=True,
              environment=on("asan")),
        Stage("tsan-build", build("tsan", "-DWEIR_SANITIZE=thread", *san), 900, ("build",)),
        Stage("tsan-unit", ctest("tsan", "tsan-unit", *plain), 900, ("tsan-build",), junit=True,
              environment=on("tsan")),
        Stage("tsan-integration", pytest("tsan-integration", *driving("-m", "tsan"), prefix=plain), 900,
              ("tsan-build",), junit=True, environment=on("tsan")),
        Stage("fuzz", ["tools/fuzz.sh"], 1200, ("build",), environment={"FUZZ_SECONDS": FUZZ_SECONDS}),
        Stage("package", ["tools/check_package.sh"], 300, ("build",)),
    ]


def select(wanted: str) -> list[Stage]:
    every = stages()
    names = [n for n in wanted.split(",") if n]
    unknown = set(names) - {s.name for s in every}
    if unknown:
        sys.exit(f"check: no stage {', '.join(sorted(unknown))}; there are {' '.join(s.name for s in every)}")
    return [s for s in every if not names or s.name in names]


def run_all(chosen: list[Stage]) -> Count:
    total, failed = Count(), set()
    names = {s.name for s in chosen}
    for stage in chosen:
        if failed & set(stage.needs) & names:
            failed.add(stage.name)
            total.failed += 1
            print(f"FAIL {stage.name}: not run, {' '.join(stage.needs)} failed", flush=True)
            continue
        begin = time.monotonic()
        status = run(stage)
        count = count_stage(stage, status)
        took = f"{time.monotonic() - begin:.0f} s"
        total += count
        if count.failed:
            failed.add(stage.name)
            print(f"FAIL {stage.name}: {count} ({took}); the end of {stage.log.relative_to(ROOT)}:")
            print(tail(stage.log), flush=True)
        else:
            print(f"ok   {stage.name}: {count.passed} passed"
                  + (f", {count.skipped} skipped" if count.skipped else "") + f" ({took})", flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="?", default=os.environ.get("STAGES", ""),
                        help="only these, with commas between")
    chosen = select(parser.parse_args().stages)
    LOGS.mkdir(parents=True, exist_ok=True)
    total = run_all(chosen)
    print(total, flush=True)
    sys.exit(1 if total.failed or not total.passed else 0)


if __name__ == "__main__":
    main()

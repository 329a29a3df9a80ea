# SPDX-License-Identifier: Apache-2.0
"""Reads JUnit reports of pytest and ctest: how many cases there are, and what each failing one says."""

import dataclasses
import pathlib
import re
import xml.etree.ElementTree

# What a sanitizer reports, what ctest says of a crash, and tests/integration/support of our programs. A client that gave up is none.
DEATH = re.compile(r"\w+Sanitizer\b|runtime error:|SEGFAULT|Subprocess (aborted|killed)|weir ended with -?[1-9]|weirctl ended with -")
LINE_LENGTH = 200


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
class Failure:
    """`test` is what its runner takes: pytest's node id, or ctest's name."""
    test: str
    message: str
    text: str

    @property
    def is_death(self) -> bool:
        """The program that was tested crashed, or did what a sanitizer forbids."""
        return DEATH.search(self.message + self.text) is not None

    def __str__(self) -> str:
        line = self.message.strip().partition("\n")[0]
        return f"{self.test}: {line}"[:LINE_LENGTH]


@dataclasses.dataclass
class Report:
    count: Count
    failures: list[Failure]


def test_of(case: xml.etree.ElementTree.Element, root: pathlib.Path) -> str:
    """pytest writes the class tests.integration.test_h1.TestBody for tests/integration/test_h1.py::TestBody."""
    parts = case.get("classname", "").split(".")
    for n in range(len(parts), 0, -1):
        file = "/".join(parts[:n]) + ".py"
        if (root / file).is_file():
            return "::".join([file, *parts[n:], case.get("name", "")])
    return case.get("name", "")


def failure_of(case: xml.etree.ElementTree.Element, root: pathlib.Path) -> Failure | None:
    found = [e for tag in ("failure", "error") if (e := case.find(tag)) is not None]
    if not found:
        return None
    text = "\n".join(e.text or "" for e in [*found, *case.iter("system-out"), *case.iter("system-err")])
    return Failure(test_of(case, root), found[0].get("message") or text, text)


def read(path: pathlib.Path, root: pathlib.Path) -> Report:
    """A report that was cut off is a failure by itself. `root`: where the paths of tests begin."""
    report = Report(Count(), [])
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except xml.etree.ElementTree.ParseError as error:
        return Report(Count(failed=1), [Failure(path.name, str(error), "")])
    for case in cases:
        failure = failure_of(case, root)
        if failure is not None:
            report.failures.append(failure)
            report.count.failed += 1
        elif case.find("skipped") is not None:
            report.count.skipped += 1
        else:
            report.count.passed += 1
    return report

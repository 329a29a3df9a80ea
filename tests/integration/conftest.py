# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests."""

import pytest

from support.plugins import Recording
from support.process import WEIR, Weir
from support.upstream import Upstream


@pytest.fixture
def start(tmp_path, request):
    """start(config, ...) -> a running Weir, stopped and checked at the end of the test."""
    running = []

    def starter(config, *arguments, **options):
        weir = Weir(tmp_path / f"weir{len(running)}", config, *arguments, **options)
        running.append(weir)
        return weir

    yield starter
    failed = getattr(request.node, "failed", False)
    problems = []
    for weir in running:
        if failed:
            weir.abandon()
            continue
        try:
            weir.stop()
        except AssertionError as error:
            problems.append(error)
    if problems:
        raise problems[0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed = True


@pytest.fixture
def upstream():
    """upstream(handler) -> a listening Upstream, closed and checked at the end of the test."""
    listening = []

    def starter(*handler):
        listening.append(Upstream(*handler))
        return listening[-1]

    yield starter
    for one in listening:
        one.close()


@pytest.fixture
def recording():
    """An upstream that answers 200 and keeps the requests it got."""
    with Recording() as server:
        yield server


def pytest_collection_modifyitems(items):
    slow = {item.fspath for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.fspath not in slow)  # files stay in order, and tests in their files
    if not WEIR.exists():
        skip = pytest.mark.skip(reason=f"{WEIR} is not built")
        for item in items:
            if "start" in getattr(item, "fixturenames", ()):
                item.add_marker(skip)

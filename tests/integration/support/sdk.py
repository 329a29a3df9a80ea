# SPDX-License-Identifier: Apache-2.0
"""The plugins of the real SDKs: built when they are needed, and skipped with the reason where they cannot be."""

import functools
import os
import sys

import pytest

from .process import SOURCE

sys.path.insert(0, str(SOURCE / "tests/sdk"))
import build  # noqa: E402

LANGUAGES = list(build.LANGUAGES)


@functools.cache
def _built(language):
    try:
        return build.built(language), None
    except build.Missing as reason:
        return None, str(reason)


def module(language):
    """The path of a language's suite plugin; skips the test where its toolchain is missing."""
    path, reason = _built(language)
    if path is None:
        if os.environ.get("WEIR_REQUIRE_SDKS") == "1":
            pytest.fail(f"{language}: {reason}")
        pytest.skip(f"{language}: {reason}")
    return path

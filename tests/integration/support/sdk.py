# SPDX-License-Identifier: Apache-2.0
"""The plugins of the real SDKs: built when they are needed, and skipped with the reason where they cannot be."""

import functools
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


def missing(reason):
    """Ends a test whose toolchain this machine does not have: on a desk it is skipped."""
    (pytest.fail if build.REQUIRED else pytest.skip)(reason)


def module(language):
    """The path of a language's suite plugin, if its toolchain is here."""
    path, reason = _built(language)
    if path is None:
        missing(f"{language}: {reason}")
    return path

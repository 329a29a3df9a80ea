# SPDX-License-Identifier: Apache-2.0
"""Configurations of docs/ with the ports of a test: whoever listens at a port that a page has written is not ours."""

import re

from .process import SOURCE


def blocks(page):
    """The YAML blocks of docs/`page`."""
    return re.findall(r"^```yaml\n(.*?)^```", (SOURCE / "docs" / page).read_text(), re.M | re.S)


def block(page, first_line=""):
    """Its first YAML block, or the one that begins with this line."""
    return next(text for text in blocks(page) if text.startswith(first_line))


def with_ports(text, ports):
    """`text` with each port in it replaced, {written: instead}; all that are not 0 must be named."""
    return re.sub(r"(?<=port_value: )[1-9]\d*", lambda match: str(ports[int(match[0])]), text)

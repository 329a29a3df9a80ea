# SPDX-License-Identifier: Apache-2.0
"""What the kernel still holds of a connection: for tests in which one write must be one read."""

import socket
import struct
from pathlib import Path

from .process import wait_until


def _end(address):
    host, port = address
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"


def wait_read(sock):
    """Waits until the other program on this machine has read all that was written to this IPv4 connection."""
    here, there = _end(sock.getsockname()), _end(sock.getpeername())

    def empty():
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        queues = {(row[1], row[2]): row[4].split(":") for row in rows}
        # What is not acknowledged is not there yet; a connection that is gone holds nothing.
        sent, _ = queues.get((here, there), ("0", "0"))
        _, received = queues.get((there, here), ("0", "0"))
        return int(sent, 16) == 0 and int(received, 16) == 0
    wait_until(empty, "the other end reads")

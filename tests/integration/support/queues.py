# SPDX-License-Identifier: Apache-2.0
"""What the kernel still holds of a connection: for tests in which one write must be one read."""

import fcntl
import socket
import struct
from pathlib import Path

from .process import wait_until

SIOCOUTQNSD = 0x894B  # linux/sockios.h: bytes that were not sent yet


def _end(address):
    host, port = address
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"


def wait_read(sock):
    """Waits until the other program on this machine has read all that was written to this IPv4 connection."""
    here, there = _end(sock.getsockname()), _end(sock.getpeername())

    def empty():
        # An acknowledgement may be held back for a while: what was sent to this machine has arrived.
        if struct.unpack("=i", fcntl.ioctl(sock, SIOCOUTQNSD, bytes(4)))[0] > 0:
            return False
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        queues = {(row[1], row[2]): row[4].split(":")[1] for row in rows}
        return int(queues.get((there, here), "0"), 16) == 0  # a connection that is gone holds nothing
    wait_until(empty, "the other end reads")

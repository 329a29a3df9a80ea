# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 upstream that reads each request to its end, its body by length, before it answers. Runs as a process of its own:
python reader.py PORT"""

import asyncio
import re
import sys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nread"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


class Connection(asyncio.Protocol):
    def __init__(self):
        self.head = b""
        self.missing = 0  # bytes of the body

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        while data:
            if self.missing:
                taken = min(self.missing, len(data))
                self.missing -= taken
                data = data[taken:] if taken < len(data) else b""
            else:
                self.head += data
                end = self.head.find(b"\r\n\r\n")
                if end < 0:
                    return
                data, self.head = self.head[end + 4:], self.head[:end]
                length = LENGTH.search(self.head)
                self.missing = int(length[1]) if length else 0
                self.head = b""
            if not self.missing:
                self.transport.write(ANSWER)


async def main(port):
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

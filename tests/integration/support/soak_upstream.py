# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 upstream as a process of its own, to be killed: python3 -m support.soak_upstream ADDRESS PORT.

/bytes/N/SEED gives N bytes that follow from SEED; POST /echo gives the body back. Now and then it does what broken servers do:
resets, is slow, closes early, answers 503.
"""

import asyncio
import hashlib
import random
import socket
import struct
import sys


def body_of(count, seed):
    block = hashlib.sha256(str(seed).encode()).digest()
    return (block * (count // len(block) + 1))[:count]


async def read_body(reader, fields):
    if fields.get(b"transfer-encoding"):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while (await reader.readline()) != b"\r\n":
            pass
        return body
    return await reader.readexactly(int(fields.get(b"content-length", 0)))


async def answer(writer, rng, body):
    """False: the connection is over."""
    trouble = rng.random()
    if trouble < 0.002:
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    if trouble < 0.006:
        await asyncio.sleep(rng.random() * 0.3)
    if trouble > 0.998:
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
    elif len(body) % 2:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 16000):
            part = body[at:at + 16000]
            writer.write(b"%x\r\n" % len(part) + part + b"\r\n")
            await writer.drain()
            if trouble > 0.996:
                return False
        writer.write(b"0\r\n\r\n")
    else:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    return trouble < 0.99


async def serve(reader, writer):
    rng = random.Random()
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head[:-4].split(b"\r\n")
            path = lines[0].split()[1].decode()
            fields = {k.lower(): v for k, v in (line.split(b": ", 1) for line in lines[1:] if b": " in line)}
            body = await read_body(reader, fields)
            if path.startswith("/bytes/"):
                count, seed = path.split("/")[2:4]
                body = body_of(int(count), seed)
            if not await answer(writer, rng, body):
                break
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def main(address, port):
    server = await asyncio.start_server(serve, address, int(port), limit=1 << 20, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))

"""A real WebSocket server and client (PyPI: websockets), for test_websocket.py.

    websocket_peer.py server             prints its port, serves until its input ends
    websocket_peer.py client URL CA      asks whatever a WebSocket can; prints a line for each thing done
"""

import asyncio
import contextlib
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

MIB = 1 << 20
SECONDS = 20


async def answer(connection):
    """Echoes; "bye" makes the server close first, "ping" makes it ping."""
    with contextlib.suppress(ConnectionClosed):  # With a code of the client's own.
        await answer_all(connection)


async def answer_all(connection):
    async for message in connection:
        if message == "bye":
            await connection.close(4001, "as you asked")
        elif message == "ping":
            await asyncio.wait_for(await connection.ping(b"from the server"), SECONDS)
            await connection.send("pong came")
        elif message == "in pieces":
            await connection.send(b"%d" % n for n in range(1000))
        else:
            await connection.send(message)


async def run_server():
    async with serve(answer, "127.0.0.1", 0, max_size=4 * MIB) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def pieces(data, size):
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


async def run_client(url, ca):
    def check(what, value):
        if not value:
            raise SystemExit(f"{what}: not so")
        print(what, flush=True)

    context = ssl.create_default_context(cafile=ca) if url.startswith("wss:") else None
    for compression in (None, "deflate"):
        async with connect(url, max_size=4 * MIB, compression=compression, ssl=context) as socket:
            await socket.send("hello")
            check("echo", await socket.recv() == "hello")
            for size in (0, 1, 125, 126, 65535, 65536, MIB):
                data = os.urandom(size)
                await socket.send(data)
                check(f"{size} bytes", await socket.recv() == data)
            data = os.urandom(MIB)
            await socket.send(pieces(data, 1000))
            check("fragments sent", await socket.recv() == data)
            await socket.send("in pieces")
            check("fragments received", await socket.recv() == b"".join(b"%d" % n for n in range(1000)))
            await asyncio.wait_for(await socket.ping(b"from the client"), SECONDS)
            check("ping", True)
            await socket.send("ping")
            check("pong", await socket.recv() == "pong came")
            many = [str(n) for n in range(500)]
            receiving = asyncio.create_task(receive(socket, len(many)))
            for message in many:
                await socket.send(message)
            check("many at once", await receiving == many)
            await socket.close(4000, "enough")
            check("closed by the client", (socket.close_code, socket.close_reason) == (4000, "enough"))
        async with connect(url, compression=compression, ssl=context) as socket:
            await socket.send("bye")
            with contextlib.suppress(ConnectionClosed):
                await socket.recv()
            check("closed by the server", (socket.close_code, socket.close_reason) == (4001, "as you asked"))


async def receive(socket, count):
    return [await socket.recv() for _ in range(count)]


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(run_server())
    else:
        asyncio.run(asyncio.wait_for(run_client(*sys.argv[2:]), 3 * SECONDS))

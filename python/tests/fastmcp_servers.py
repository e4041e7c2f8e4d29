"""What the tests of the FastMCP part share: servers with some tools, and what clients get."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import uvicorn
from fastmcp import Client, FastMCP
from fastmcp import __version__ as fastmcp_version
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import McpError
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier

MAJOR = int(fastmcp_version.split(".")[0])
_START_SECONDS = 20.0

TOKENS = {
    "token-of-ada": {"client_id": "one-app", "sub": "ada", "scopes": []},
    "token-of-bob": {"client_id": "one-app", "sub": "bob", "scopes": []},
    "token-of-robot": {"client_id": "robot", "scopes": []},
}


class Outcome(NamedTuple):
    """Of a request. ``code``: of an error of JSON-RPC; 0: it has a result."""

    ok: bool
    text: str = ""
    code: int = 0
    data: Any = None


async def outcome_of(request: Any) -> Outcome:
    try:
        await request
    except McpError as error:
        return Outcome(False, error.error.message, error.error.code, error.error.data)
    return Outcome(True)


async def call(client: Client[Any], tool: str, **arguments: Any) -> Outcome:
    try:
        result = await client.call_tool(tool, arguments, raise_on_error=False)
    except McpError as error:
        return Outcome(False, error.error.message, error.error.code, error.error.data)
    return Outcome(not result.is_error, result.content[0].text)


def make_server(*middlewares: Any, with_tokens: bool = False) -> FastMCP[Any]:
    auth = StaticTokenVerifier(TOKENS) if with_tokens else None
    mcp = FastMCP("server-for-test", auth=auth)
    for middleware in middlewares:
        mcp.add_middleware(middleware)

    @mcp.tool
    async def search(n: int | str = 1, user_id: str = "") -> str:
        return f"found {n}"

    @mcp.tool
    def add(a: int, b: int) -> int:
        return a + b

    @mcp.tool
    async def fail() -> int:
        raise RuntimeError("broken tool")

    @mcp.resource("text://motto")
    def motto() -> str:
        return "slowly"

    @mcp.prompt
    def greeting() -> str:
        return "hello"

    return mcp


@contextlib.contextmanager
def served(mcp: FastMCP[Any], **how: Any) -> Iterator[str]:
    """The server over streamable HTTP, at this address, until the block ends."""
    config = uvicorn.Config(
        mcp.http_app(path="/mcp", **how),
        log_level="error",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)
            assert not thread.is_alive()


@contextlib.asynccontextmanager
async def connected(
    url: str, token: str | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[Client[Any]]:
    """A client in a session of its own."""
    transport = StreamableHttpTransport(url, headers=headers, auth=token)
    async with Client(transport) as client:
        yield client


async def call_once(
    url: str,
    token: str | None = None,
    headers: dict[str, str] | None = None,
    tool: str = "search",
    **arguments: Any,
) -> Outcome:
    async with connected(url, token, headers) as client:
        return await call(client, tool, **arguments)

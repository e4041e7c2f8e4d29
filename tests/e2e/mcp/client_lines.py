"""What the Python client programs share: their arguments, and one JSON line an outcome.

    PROGRAM URL [--era auto|legacy|modern] [--call 'TOOL {"argument": ...}']... [--times N] [--at-once]
                [--seconds S] [--header "Name: value"]... [--ping] [--no-list]

It connects, pings if asked (a session era's request), lists the tools, and makes the calls N times, one
after the other or at once. To a server that asks back for a name it says NAME. Each step prints
{"step", "outcome", "seconds", ...}:
    ok              connect: "version"; list: "tools"; call: "text", "structured", "meta" and how many
                    notifications of "progress" came
    tool_error      the tool's own error, as a model would read it: "text"
    protocol_error  "code", "message", "data"
    failed          any other exception: "type", "message"
    timed_out       nothing came within S seconds (default 10)
No step hangs; the exit status is 0 if the program could say what happened. client.mjs is the same.
"""

import argparse
import json
import time

import anyio

MODERN = "2026-07-28"
NAME = "Ada"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--era", choices=["auto", "legacy", "modern"], default="auto")
    parser.add_argument("--call", action="append", default=[])
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--ping", action="store_true")
    parser.add_argument("--no-list", action="store_true")
    options = parser.parse_args()
    options.headers = dict(line.split(": ", 1) for line in options.header)
    named = [line.partition(" ") for line in options.call]
    options.calls = [(tool, json.loads(given or "{}")) for tool, _, given in named] * options.times
    return options


def tell(step, outcome, started, **more):
    seconds = round(time.monotonic() - started, 3)
    print(json.dumps({"step": step, "outcome": outcome, "seconds": seconds, **more}), flush=True)


def innermost(error):
    """Task groups wrap what happened."""
    while getattr(error, "exceptions", None):
        error = error.exceptions[0]
    return error


def tell_error(step, started, error, protocol_errors):
    error = innermost(error)
    if isinstance(error, TimeoutError):
        tell(step, "timed_out", started)
    elif isinstance(error, protocol_errors):
        told = error.error
        tell(step, "protocol_error", started, code=told.code, message=told.message, data=told.data)
    else:
        tell(step, "failed", started, type=type(error).__name__, message=str(error))


class Progress:
    """Counts a call's notifications of progress."""

    def __init__(self):
        self.count = 0

    async def __call__(self, progress, total=None, message=None):
        self.count += 1


def tell_result(step, started, result, is_error, structured, progress):
    """A CallToolResult; the field names differ between the SDKs."""
    text = "\n".join(getattr(part, "text", f"[{part.type}]") for part in result.content)
    if is_error:
        tell(step, "tool_error", started, text=text, meta=result.meta)
    else:
        tell(step, "ok", started, text=text, structured=structured, meta=result.meta, progress=progress.count)


class Steps:
    """Runs the steps of a client. A client gives list_tools(), call() and ping()."""

    def __init__(self, options, protocol_errors):
        self.options = options
        self.protocol_errors = protocol_errors

    async def step(self, name, act, *given):
        started = time.monotonic()
        try:
            with anyio.fail_after(self.options.seconds):
                await act(name, started, *given)
        except Exception as error:  # Whatever it is, it is the outcome.
            tell_error(name, started, error, self.protocol_errors)

    async def run(self, client):
        if self.options.ping:
            await self.step("ping", client.ping)
        if not self.options.no_list:
            await self.step("list", client.list_tools)
        if self.options.at_once:
            async with anyio.create_task_group() as calls:
                for tool, given in self.options.calls:
                    calls.start_soon(self.step, "call", client.call, tool, given)
        else:
            for tool, given in self.options.calls:
                await self.step("call", client.call, tool, given)

    async def connected(self, connect):
        """`connect` is an async context manager of a client; being slow to enter it times out."""
        started = time.monotonic()
        inside = False
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self.options.seconds) as scope:
                async with connect as client:
                    inside = True
                    scope.deadline = anyio.current_time() + self.options.seconds * (len(self.options.calls) + 5)
                    tell("connect", "ok", started, version=client.version())
                    await self.run(client)
                    scope.deadline = anyio.current_time() + self.options.seconds
            if scope.cancelled_caught:
                tell("close" if inside else "connect", "timed_out", started)
        except BaseException as error:  # Also a group with a cancellation in it.
            tell_error("close" if inside else "connect", started, error, self.protocol_errors)

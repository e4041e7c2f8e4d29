#!/usr/bin/env python3
"""What a check costs in Python, beside other limiters in the same run; and what the middleware adds to a request.

    bench/python_bench.py            tables, as doc/performance.md has them

It needs, beside sluicegate: limits, throttled-py, fastmcp, slowapi, starlette, uvicorn; and wrk for the requests.
`make bench-python` makes an environment with these.
"""

import asyncio
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import timeit

MANY = 1_000_000_000  # A quota that is not used up.


def best_ns(call, *arguments, times, rounds=5):
    """Nanoseconds a call, of the best round."""
    names = {f"a{i}": argument for i, argument in enumerate(arguments)}
    timer = timeit.Timer(f"call({', '.join(names)})", globals={"call": call, **names})
    return min(timer.repeat(rounds, times)) / times * 1e9


async def best_async_ns(call, times, rounds=5):
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for _ in range(times):
            await call()
        best = min(best, (time.perf_counter_ns() - start) / times)
    return best


def progress(text):
    print(f"  {text} ...", file=sys.stderr, flush=True)


def checks():
    import limits
    import throttled
    from fastmcp.server.middleware.rate_limiting import TokenBucketRateLimiter

    from sluicegate import Limit, Limiter

    progress("check")
    limiter = Limiter([f"{MANY // 1000}/minute"])
    own = best_ns(limiter.check, "user:42", times=200_000)
    four = Limiter([f"{MANY // 1000}/minute", f"{MANY // 100}/hour", f"{MANY}/day", Limit.burst(MANY // 1000)])
    default = best_ns(four.check, "user:42", times=200_000)
    keys = [f"user:{i}" for i in range(10_000)]
    batch = best_ns(limiter.check_many, keys, times=20) / len(keys)

    progress("limits")
    fixed = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.parse(f"{MANY}/minute")
    of_limits = best_ns(fixed.hit, item, "user:42", times=20_000)

    progress("throttled-py")
    throttle = throttled.Throttled(
        using=throttled.RateLimiterType.FIXED_WINDOW.value,
        quota=throttled.rate_limiter.per_min(MANY),
        store=throttled.MemoryStore(),
    )
    of_throttled = best_ns(throttle.limit, "user:42", times=20_000)

    progress("FastMCP")
    bucket = TokenBucketRateLimiter(MANY, MANY)
    of_fastmcp = asyncio.run(best_async_ns(bucket.consume, 50_000))

    progress("history")
    counted = Limiter(["1000000/day"])
    first = best_ns(counted.check, "user:42", times=1_000, rounds=3)
    for _ in range(100_000):
        counted.check("user:42")
    last = best_ns(counted.check, "user:42", times=1_000, rounds=3)

    print("| in one thread, in memory | a check | to `check` | aim: at least |\n|---|---|---|---|")
    rows = [
        ("`Limiter.check`, one limit", own, "1", ""),
        ("the same, four default limits", default, "", ""),
        ("`check_many` of 10,000 keys, a key", batch, "", ""),
        ("`limits` fixed window", of_limits, f"**{of_limits / own:.0f}x**", "15x"),
        ("throttled-py fixed window", of_throttled, f"**{of_throttled / own:.0f}x**", "12x"),
        ("FastMCP's token bucket", of_fastmcp, f"**{of_fastmcp / own:.0f}x**", "30x"),
    ]
    for name, ns, ratio, aim in rows:
        print(f"| {name} | {ns:,.0f} ns | {ratio} | {aim} |")
    print(f"\nAfter 100,000 requests of one key a check costs {last / first:.2f} of what the first ones did.\n")


APP = """
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("home")
"""
PLAIN = APP + "app = Starlette(routes=[Route('/', home)])\n"
OWN = PLAIN + f"""
from sluicegate import RateLimiter, RateLimitMiddleware
app.add_middleware(RateLimitMiddleware, limiter=RateLimiter({MANY // 1000}, {MANY // 100}, {MANY}, {MANY // 1000}))
"""
SLOWAPI = APP + f"""
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address
limiter = Limiter(key_func=get_remote_address, headers_enabled=True)
home = limiter.limit("{MANY}/minute")(home)
app = Starlette(routes=[Route('/', home)])
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
"""


def cpu_us(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_a_request(code, folder):
    """Microseconds of the server's CPU, with 16 connections that wrk keeps busy."""
    (folder / "served.py").write_text(code)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port), "--log-level", "error", "--no-access-log"]
    server = subprocess.Popen(command, cwd=folder)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        best = float("inf")
        for _ in range(3):
            before = cpu_us(server.pid)
            told = subprocess.run(
                ["wrk", "-t1", "-c16", "-d3s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
            ).stdout
            if "Non-2xx" in told:
                sys.exit("a request was denied: " + told)
            requests = int(told.partition(" requests in")[0].split()[-1])
            best = min(best, (cpu_us(server.pid) - before) / requests)
        return best
    finally:
        server.terminate()
        server.wait()


def requests():
    import tempfile

    if shutil.which("wrk") is None:
        print("skipped: the requests, as there is no wrk")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        progress("requests to Starlette alone")
        plain = cpu_a_request(PLAIN, folder)
        progress("with RateLimitMiddleware")
        own = cpu_a_request(OWN, folder) - plain
        progress("with slowapi")
        slow = cpu_a_request(SLOWAPI, folder) - plain
    print("| Starlette under uvicorn, CPU a request | | to slowapi's | aim: at most |\n|---|---|---|---|")
    print(f"| alone | {plain:.0f} us | | |")
    print(f"| added by `RateLimitMiddleware`, four limits, all fields | {own:.0f} us | **{own / slow:.2f}** | 0.33 |")
    print(f"| added by slowapi, one limit, its fields | {slow:.0f} us | 1 | |")


if __name__ == "__main__":
    checks()
    requests()

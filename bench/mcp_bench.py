#!/usr/bin/env python3
"""What MCP costs at the gateway, in one run on one machine: CPU of a tools/call of 1 KiB beside the same
bytes through the plain proxy path, and how much later the first byte of a stream of events comes.

    bench/mcp_bench.py [--seconds 5] [--rounds 3] build/release/sluicegate
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

from gateway_bench import LOAD_CORE, SERVER_CORE, alternate, free_port, median, nginx_files, running, sluicegate_files

CALL_BYTES = 1024
STREAMS = 400
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {}\n\n"
PLAIN = "mcp: {paths: []}\nrules: [{name: all, key: [client], limits: [100000000/minute, 1000000000/hour]}]"
MCP = """
rules:
  - {name: tools, match: {mcp_tool: "search*"}, key: [client, mcp_tool], limits: [100000000/minute]}
  - {name: all, key: [client], limits: [1000000000/hour]}
"""


def call():
    """A tools/call of CALL_BYTES, as the Python SDK writes it."""
    def text(filling):
        arguments = {"query": "rate limits", "limit": 10, "filter": {"kind": ["a", "b"], "text": filling}}
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search_docs", "arguments": arguments}})
    return text("x" * (CALL_BYTES - len(text(""))))


def lua(folder):
    """wrk's script: each request is that call."""
    path = os.path.join(folder, "call.lua")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'wrk.method = "POST"\nwrk.body = [==[{call()}]==]\nwrk.headers["Content-Type"] = "application/json"\n')
    return path


def gateways(stack, program, folder, upstream):
    """Two of them before one upstream: name -> (port, pid)."""
    found = {}
    for name, policy in {"MCP": MCP, "plain": PLAIN}.items():
        port = free_port()
        doors = f'listen: {{gateway: "127.0.0.1:{port}"}}\nupstream: {{url: "http://127.0.0.1:{upstream}"}}\n'
        file = sluicegate_files(folder, name, doors + policy)
        command = [program, "gateway", "--threads", "1", "--config", file, "--admin", "off"]
        found[name] = (port, stack.enter_context(running(command, port, SERVER_CORE)))
    return found


def bench_calls(program, folder, seconds, rounds):
    upstream = free_port()
    answer = '{\\"jsonrpc\\":\\"2.0\\",\\"id\\":1,\\"result\\":{\\"content\\":[]}}'
    server = f'server {{ listen 127.0.0.1:{upstream}; location / {{ return 200 "{answer}"; }} }}'
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(nginx_files(folder, "upstream", server, "/dev/null"), upstream, LOAD_CORE))
        contestants = gateways(stack, program, folder, upstream)
        return alternate(contestants, rounds, seconds, path="/mcp", options=["-s", lua(folder)])


def serve_events(listener):
    """Answers each connection's request at once with a stream of one event."""
    def answer(connection):
        with connection:
            seen = b""
            while b"}}" not in seen[-200:]:
                seen += connection.recv(65536)
            connection.sendall(EVENTS)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def first_byte(port, request):
    """Seconds from the request to the first byte of the first event."""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        client.sendall(request)
        seen = b""
        while b"data:" not in seen:
            more = client.recv(65536)
            if not more:
                sys.exit(f"no event came: {seen[:300]!r}")
            seen += more
        return time.perf_counter() - begun


def bench_streams(program, folder):
    body = call().encode()
    request = b"POST /mcp HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        threading.Thread(target=serve_events, args=(listener,), daemon=True).start()
        ports = {"direct": listener.getsockname()[1]}
        ports |= {name: port for name, (port, _) in gateways(stack, program, folder, ports["direct"]).items()}
        times = {name: [] for name in ports}
        for _ in range(STREAMS):
            for name, port in ports.items():
                times[name].append(first_byte(port, request))
        return {name: statistics.median(one) * 1e3 for name, one in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the sluicegate program")
    parser.add_argument("--seconds", type=int, default=5, help="of load a round and server")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("wrk", "nginx", "taskset"):
        if shutil.which(tool) is None:
            print(f"skipped: the benchmark of MCP needs {tool}: tools/install_packages.sh bench")
            return
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        calls = bench_calls(program, folder, options.seconds, options.rounds)
        plain = median(calls["plain"], 1)
        print(f"| tools/call of {len(call())} bytes | a second | CPU each | to plain |\n|---|---|---|---|")
        for name, rows in calls.items():
            if any(row[2] for row in rows):
                sys.exit(f"{name} answered with errors")
            print(f"| {name} | {median(rows, 0):,.0f} | {median(rows, 1):.1f} us | {median(rows, 1) / plain:.2f}x |")
    with tempfile.TemporaryDirectory() as folder:
        times = bench_streams(program, folder)
        print("\n| first byte of a stream, median | ms | later |\n|---|---|---|")
        for name, milliseconds in times.items():
            print(f"| {name} | {milliseconds:.2f} | {milliseconds - times['direct']:.2f} |")


if __name__ == "__main__":
    main()

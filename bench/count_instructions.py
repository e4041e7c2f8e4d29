#!/usr/bin/env python3
"""Instructions that the gateway spends on a request in user space, as callgrind counts them.

Each kind of request is sent 2,000 and 6,000 times to a gateway of one worker; what the second run
executed more, over 4,000, is a request's. The clock has no part in it, so a busy machine changes
the figures only by the few instructions that hang on how many requests one turn of the loop finds.

    bench/count_instructions.py [--functions 30] [--only WORD] build/release/sluicegate
"""

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from gateway_bench import FIELDS, sluicegate_files

CONNECTIONS = 16
FEW, MANY = 2000, 6000
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 47\r\n\r\n{"jsonrpc":"2.0","id":1,"result":{"content":[]}'
LARGE = "100000000/minute, 1000000000/hour, 4000000000/day"
DENYING = "{name: per-client, key: [client], limits: [60/minute, 1000/hour, 10000/day, {burst: 10}]}"


def large_rule(name):
    return f"{{name: {name}, key: [client], limits: [{LARGE}]}}"


KINDS = {  # What is sent: (rules, fields beside Host).
    "refused (429), nine fields, four limits": ([DENYING], FIELDS),
    "proxied, one field, three limits": ([large_rule("per-client")], []),
    "proxied, nine fields, three limits": ([large_rule("per-client")], FIELDS),
    "proxied, nine fields, four rules of three limits": ([large_rule(name) for name in "abcd"], FIELDS),
}


def upstream():
    """Answers every request at once with 200; gives its port. Ends with the process."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve(connection):
        rest = b""
        with contextlib.suppress(OSError), connection:
            while more := connection.recv(65536):
                *heads, rest = (rest + more).split(b"\r\n\r\n")
                connection.sendall(ANSWER * len(heads))

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def read_answer(connection):
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536) or sys.exit("the gateway closed the connection")
    head, body = answer.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head).group(1))
    while len(body) < length:
        body += connection.recv(65536) or sys.exit("the gateway closed the connection")
    return head


def drive(port, fields, count):
    """Sends that many requests; gives the last answer's status."""
    request = "\r\n".join([f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}", *fields, "\r\n"]).encode()
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)
        ]
        for _ in range(count // CONNECTIONS):
            for connection in connections:
                connection.sendall(request)
            heads = [read_answer(connection) for connection in connections]
    return int(heads[-1].split()[1])


def port_of(path, process):
    """The gateway's port, once it listens and has written the file."""
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"valgrind ended with status {process.returncode} before the gateway listened")
        with contextlib.suppress(OSError, AttributeError), open(path, encoding="ascii") as file:
            return int(re.search(r"^gateway=.*:(\d+)$", file.read(), re.MULTILINE).group(1))
        time.sleep(0.05)
    sys.exit("the gateway does not listen")


def counted(program, folder, rules, fields, count):
    """The file that callgrind wrote for that many requests."""
    policy = f"""
listen: {{gateway: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{upstream()}"}}
rules: [{", ".join(rules)}]
"""
    profile, ports = (os.path.join(folder, f"{name}.{count}") for name in ("profile", "ports"))
    process = subprocess.Popen(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", program, "gateway"]
        + ["--threads", "1", "--admin", "off", "--port-file", ports]
        + ["--config", sluicegate_files(folder, "count", policy)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        status = drive(port_of(ports, process), fields, count)
    finally:
        process.terminate()
        process.wait()
    if status != (429 if DENYING in rules else 200):
        sys.exit(f"the gateway answered {status}")
    return profile


def total(profile):
    with open(profile, encoding="utf-8", errors="replace") as file:
        return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE).group(1))


def inclusive(profile):
    """Instructions by function, those of what it calls included."""
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--auto=no", profile]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    costs = {}
    for line in output.splitlines():
        found = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+[^:]*:(.*?)(?: \[|$)", line)
        if found:
            name = found.group(2)
            costs[name] = max(costs.get(name, 0), int(found.group(1).replace(",", "")))
    return costs


def print_functions(few, many, most):
    before, after = inclusive(few), inclusive(many)
    costs = {name: (cost - before.get(name, 0)) / (MANY - FEW) for name, cost in after.items()}
    for name, cost in sorted(costs.items(), key=lambda item: -item[1])[:most]:
        print(f"    {cost:8,.0f}  {name[:120]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the sluicegate program")
    parser.add_argument("--functions", type=int, default=0, help="how many functions to list, callees included")
    parser.add_argument("--only", default="", help="only kinds of requests with this word")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: counting instructions needs valgrind: tools/install_packages.sh bench")
        return
    program = os.path.abspath(options.program)
    print("| a request | instructions |\n|---|---|", flush=True)
    for kind, (rules, fields) in KINDS.items():
        if options.only not in kind:
            continue
        with tempfile.TemporaryDirectory() as folder:
            few, many = (counted(program, folder, rules, fields, count) for count in (FEW, MANY))
            print(f"| {kind} | {(total(many) - total(few)) / (MANY - FEW):,.0f} |", flush=True)
            if options.functions:
                print_functions(few, many, options.functions)


if __name__ == "__main__":
    main()

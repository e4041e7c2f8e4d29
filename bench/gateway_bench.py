#!/usr/bin/env python3
"""The gateway beside nginx, in one run on one machine: refusals a second, and CPU a proxied request.

The server under test has one core and one worker, wrk and the upstream have the other. CPU is what
the kernel booked for the server's processes (utime + stime) over the requests that wrk counted.
Rounds alternate, so that a noisy machine hurts both; medians and their ratios are printed.

    bench/gateway_bench.py [--seconds 5] [--rounds 3] build/bench/sluicegate
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 64
# Nine fields, as a browser or an SDK sends them.
FIELDS = [
    "User-Agent: bench/1.0",
    "Accept: application/json, text/event-stream",
    "Accept-Encoding: gzip, br",
    "Accept-Language: en-GB,en;q=0.9",
    "Cache-Control: no-cache",
    "X-Request-Id: 0123456789abcdef",
    "X-Trace: 4bf92f3577b34da6a3ce929d0e0e4736",
    "Cookie: session=0123456789abcdef0123456789abcdef",
]  # and Host


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with status {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


@contextlib.contextmanager
def running(command, port, core):
    process = subprocess.Popen(
        ["taskset", "-c", core, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(port, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def processes_of(pid):
    """The process and its children: nginx has a master and a worker."""
    found = [pid]
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(entry)}/stat", encoding="ascii") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
    return found


def cpu_seconds(pid):
    ticks = 0
    for one in processes_of(pid):
        with open(f"/proc/{one}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def load(port, seconds, pid, path="/", options=()):
    """Runs wrk with more of its options; gives requests a second, CPU microseconds a request, and answers that were not 2xx or 3xx."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for field in FIELDS:
        command += ["-H", field]
    before = cpu_seconds(pid)
    output = subprocess.run(
        [*command, *options, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    used = cpu_seconds(pid) - before
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return rate, used / requests * 1e6, int(errors.group(1)) if errors else 0


def nginx_files(folder, name, server, log, http=""):
    """A folder of its own for one nginx; gives its command."""
    place = os.path.join(folder, name)
    os.makedirs(place)
    config = os.path.join(place, "nginx.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            f"daemon off; worker_processes 1; pid {place}/pid; error_log {log};\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {place}/b;\n"
            f"proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n"
            f"scgi_temp_path {place}/s; {http}\n{server}\n}}\n"
        )
    return ["nginx", "-p", place, "-c", config]


def sluicegate_files(folder, name, policy):
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(policy)
    return path


def alternate(contestants, rounds, seconds, **request):
    """contestants: name -> (port, pid). Gives name -> list of load() results of that request."""
    results = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (port, pid) in contestants.items():
            results[name].append(load(port, seconds, pid, **request))
    return results


def median(results, index):
    return statistics.median(result[index] for result in results)


def bench_refusals(program, folder, seconds, rounds):
    ports = {name: free_port() for name in ("sluicegate", "nginx", "nginx, error log on", "upstream")}
    limit = "limit_req_zone $binary_remote_addr zone=z:10m rate=1r/m; limit_req_status 429;"
    policy = f"""
listen: {{gateway: "127.0.0.1:{ports['sluicegate']}"}}
upstream: {{url: "http://127.0.0.1:{ports['upstream']}"}}
connections: {{per_client: off, new_per_second: off}}
rules: [{{name: per-client, key: [client], limits: [60/minute, 1000/hour, 10000/day, {{burst: 10}}]}}]
"""
    with contextlib.ExitStack() as stack:
        def start(name, command, core=SERVER_CORE):
            return ports[name], stack.enter_context(running(command, ports[name], core))

        def limited(name, log):
            server = f"server {{ listen 127.0.0.1:{ports[name]}; limit_req zone=z; location / {{ return 200; }} }}"
            # return runs before limit_req would; a file is served after it.
            server = server.replace("return 200;", f"root {folder};")
            return start(name, nginx_files(folder, "limit-" + str(ports[name]), server, log, limit))

        upstream = f"server {{ listen 127.0.0.1:{ports['upstream']}; location / {{ return 200 'ok'; }} }}"
        start("upstream", nginx_files(folder, "upstream-a", upstream, "/dev/null"), LOAD_CORE)
        command = [program, "gateway", "--threads", "1", "--config", sluicegate_files(folder, "refuse", policy)]
        contestants = {
            "sluicegate": start("sluicegate", command),
            "nginx": limited("nginx", "/dev/null crit"),
            "nginx, error log on": limited("nginx, error log on", os.path.join(folder, "error.log")),
        }
        return alternate(contestants, rounds, seconds)


def bench_proxy(program, folder, seconds, rounds):
    ports = {name: free_port() for name in ("sluicegate", "nginx", "upstream")}
    policy = f"""
listen: {{gateway: "127.0.0.1:{ports['sluicegate']}"}}
upstream: {{url: "http://127.0.0.1:{ports['upstream']}"}}
connections: {{per_client: off, new_per_second: off}}
rules: [{{name: per-client, key: [client], limits: [100000000/minute, 1000000000/hour, 4000000000/day]}}]
"""
    upstream = (
        f"server {{ listen 127.0.0.1:{ports['upstream']}; location / {{ "
        "return 200 '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}'; }}"
    )
    proxy = (
        f"upstream u {{ server 127.0.0.1:{ports['upstream']}; keepalive 128; }}\n"
        f"server {{ listen 127.0.0.1:{ports['nginx']}; location / {{ proxy_pass http://u; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; proxy_set_header Host $host; '
        "proxy_set_header X-Forwarded-For $remote_addr; } }"
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(nginx_files(folder, "upstream-b", upstream, "/dev/null"), ports["upstream"], LOAD_CORE)
        )
        command = [program, "gateway", "--threads", "1", "--config", sluicegate_files(folder, "proxy", policy)]
        ours = stack.enter_context(running(command, ports["sluicegate"], SERVER_CORE))
        theirs = stack.enter_context(
            running(nginx_files(folder, "proxy", proxy, "/dev/null crit"), ports["nginx"], SERVER_CORE)
        )
        contestants = {"sluicegate": (ports["sluicegate"], ours), "nginx": (ports["nginx"], theirs)}
        for port, _ in contestants.values():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
                assert b"jsonrpc" in reply.read(), "the proxy does not proxy"
        return alternate(contestants, rounds, seconds)


def print_refusals(results):
    ours = median(results["sluicegate"], 0)
    print("| refusals (429) | a second | CPU each | sluicegate to it |\n|---|---|---|---|")
    for name, rows in results.items():
        rate = median(rows, 0)
        print(f"| {name} | {rate:,.0f} | {median(rows, 1):.1f} us | {ours / rate:.2f}x |")


def print_proxy(results):
    ours = median(results["sluicegate"], 1)
    print("\n| proxied requests | a second | CPU each | sluicegate to it |\n|---|---|---|---|")
    for name, rows in results.items():
        cpu = median(rows, 1)
        print(f"| {name} | {median(rows, 0):,.0f} | {cpu:.1f} us | {ours / cpu:.2f}x CPU |")
        if any(row[2] for row in rows):
            sys.exit(f"{name} answered {sum(row[2] for row in rows)} requests with an error")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the sluicegate program")
    parser.add_argument("--seconds", type=int, default=5, help="of load a round and server")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for tool in ("wrk", "nginx", "taskset"):
        if shutil.which(tool) is None and not os.path.exists("/usr/sbin/" + tool):
            print(f"skipped: the gateway's benchmark needs {tool}: tools/install_packages.sh bench")
            return
    os.environ["PATH"] += ":/usr/sbin"
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        print_refusals(bench_refusals(program, folder, options.seconds, options.rounds))
        print_proxy(bench_proxy(program, folder, options.seconds, options.rounds))


if __name__ == "__main__":
    main()

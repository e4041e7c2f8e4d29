#!/usr/bin/env python3
"""The gateway beside nginx and HAProxy, in one run on one machine: refusals a second, CPU a proxied
request, connections for one request each, large bodies, and how long requests take under load.

The server under test has one core and one worker, the load and the upstream have the other. CPU is
what the kernel booked for the server's processes (utime + stime) over the requests that were counted.
Rounds alternate, so that a noisy machine hurts all; medians and their ratios are printed.

    bench/gateway_bench.py [--seconds 5] [--rounds 3] [--only refusals,proxy,...] build/release/sluicegate
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


def load(port, seconds, pid, path="/", options=(), fields=FIELDS, connections=CONNECTIONS):
    """Runs wrk with more of its options; gives requests a second, CPU microseconds a request, and answers that were not 2xx or 3xx."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for field in fields:
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


def latencies(port, seconds, rate, folder):
    """Milliseconds of requests that come at `rate` a second, whatever the server does: median, 99th percentile."""
    log = os.path.join(folder, "latencies")
    clients = 32
    with contextlib.suppress(FileNotFoundError):
        os.remove(log)
    command = ["taskset", "-c", LOAD_CORE, "h2load", "--h1", "-t1", f"-c{clients}", f"-D{seconds}", "--warm-up-time=1"]
    command += [f"--rps={rate / clients:.1f}", f"--log-file={log}"]
    for field in FIELDS:
        command += ["-H", field]
    subprocess.run([*command, f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL, check=True)
    took = []
    with open(log, encoding="ascii") as rows:  # Begin, status, microseconds.
        for row in rows:
            _, status, microseconds = row.split()
            if status != "200":
                sys.exit(f"an answer had the status {status}")
            took.append(int(microseconds) / 1000)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


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


def policy(port, upstream, rules):
    return f"""
listen: {{gateway: "127.0.0.1:{port}"}}
upstream: {{url: "http://127.0.0.1:{upstream}"}}
connections: {{per_client: off, new_per_second: off}}
rules:
{rules}
"""


FOUR_LIMITS = "  - {name: per-client, key: [client], limits: [60/minute, 1000/hour, 10000/day, {burst: 10}]}"
WIDE = "limits: [100000000/minute, 1000000000/hour, 4000000000/day]"
ONE_RULE = f"  - {{name: per-client, key: [client], {WIDE}}}"
FOUR_RULES = "\n".join(f"  - {{name: rule-{i}, match: {{path: '/**'}}, key: [client], {WIDE}}}" for i in range(4))
HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port}
  stick-table type ip size 100k expire 60s store http_req_rate(60s)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 10 }}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
"""


class Bench:
    """Starts what is compared, in a folder of its own, and stops it."""

    def __init__(self, program, folder, stack):
        self.program, self.folder, self.stack = program, folder, stack
        self.count = 0

    def run(self, command, port, core=SERVER_CORE):
        return port, self.stack.enter_context(running(command, port, core))

    def nginx(self, server, port, http="", log="/dev/null crit", core=SERVER_CORE):
        self.count += 1
        return self.run(nginx_files(self.folder, f"nginx-{self.count}", server, log, http), port, core)

    def upstream(self, location):
        port = free_port()
        return self.nginx(f"server {{ listen 127.0.0.1:{port}; {location} }}", port, core=LOAD_CORE)[0]

    def sluicegate(self, rules, upstream):
        self.count += 1
        port = free_port()
        file = sluicegate_files(self.folder, f"policy-{self.count}", policy(port, upstream, rules))
        return self.run([self.program, "gateway", "--threads", "1", "--admin", "off", "--config", file], port)

    def nginx_proxy(self, upstream):
        port = free_port()
        server = (
            f"upstream u {{ server 127.0.0.1:{upstream}; keepalive 128; }}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_http_version 1.1; "
            'proxy_set_header Connection ""; proxy_set_header Host $host; '
            "proxy_set_header X-Forwarded-For $remote_addr; } }"
        )
        return self.nginx(server, port)

    def haproxy(self, upstream):
        port = free_port()
        file = os.path.join(self.folder, "haproxy.cfg")
        with open(file, "w", encoding="utf-8") as config:
            config.write(HAPROXY.format(port=port, upstream=upstream))
        return self.run(["haproxy", "-db", "-f", file], port)

    def nginx_limits(self, log):
        port = free_port()
        limit = "limit_req_zone $binary_remote_addr zone=z:10m rate=1r/m; limit_req_status 429;"
        # A file, as return would answer before limit_req does.
        server = f"server {{ listen 127.0.0.1:{port}; limit_req zone=z; location / {{ root {self.folder}; }} }}"
        return self.nginx(server, port, limit, log)


ANSWER = "location / { return 200 '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}'; }"


def refusals(bench, options):
    upstream = bench.upstream(ANSWER)
    contestants = {
        "sluicegate, four limits": bench.sluicegate(FOUR_LIMITS, upstream),
        "nginx `limit_req`, error log off": bench.nginx_limits("/dev/null crit"),
        "nginx `limit_req`, default error log": bench.nginx_limits(os.path.join(bench.folder, "error.log")),
        "HAProxy stick-table": bench.haproxy(upstream),
    }
    return alternate(contestants, options.rounds, options.seconds)


def proxied(rules, **request):
    def measure(bench, options):
        upstream = bench.upstream(ANSWER)
        contestants = {"sluicegate": bench.sluicegate(rules, upstream), "nginx `proxy_pass`": bench.nginx_proxy(upstream)}
        return alternate(contestants, options.rounds, options.seconds, **request)

    return measure


def large_bodies(bench, options):
    with open(os.path.join(bench.folder, "large"), "wb") as file:
        file.write(os.urandom(1 << 20))
    upstream = bench.upstream(f"location / {{ root {bench.folder}; }}")
    contestants = {"sluicegate": bench.sluicegate(ONE_RULE, upstream), "nginx `proxy_pass`": bench.nginx_proxy(upstream)}
    return alternate(contestants, options.rounds, options.seconds, path="/large", connections=16)


def under_load(bench, options):
    upstream = bench.upstream(ANSWER)
    contestants = {"sluicegate": bench.sluicegate(ONE_RULE, upstream), "nginx `proxy_pass`": bench.nginx_proxy(upstream)}
    most = min(load(port, 2, pid)[0] for port, pid in contestants.values())
    results = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, (port, _) in contestants.items():
            results[name].append(latencies(port, options.seconds + 1, 0.8 * most, bench.folder))
    return results


def print_rates(title, results):
    """The load's core may be the limit: then the rates are alike, and CPU says what one core could do."""
    rate, cpu = (median(results[next(iter(results))], column) for column in (0, 1))
    print(f"\n| {title} | a second | CPU each | sluicegate's rate to it | as cheap as it |\n|---|---|---|---|---|")
    for name, rows in results.items():
        ratios = f"{rate / median(rows, 0):.2f}x | {median(rows, 1) / cpu:.2f}x"
        print(f"| {name} | {median(rows, 0):,.0f} | {median(rows, 1):.1f} us | {ratios} |")


def print_cpu(title, results):
    ours = median(results["sluicegate"], 1)
    print(f"\n| {title} | a second | CPU each | sluicegate to it |\n|---|---|---|---|")
    for name, rows in results.items():
        print(f"| {name} | {median(rows, 0):,.0f} | {median(rows, 1):.1f} us | {ours / median(rows, 1):.2f}x CPU |")
        if any(row[2] for row in rows):
            sys.exit(f"{name} answered {sum(row[2] for row in rows)} requests with an error")


def print_latencies(title, results):
    ours = median(results["sluicegate"], 1)
    print(f"\n| {title} | median | 99th percentile | sluicegate to it |\n|---|---|---|---|")
    for name, rows in results.items():
        print(f"| {name} | {median(rows, 0):.2f} ms | {median(rows, 1):.2f} ms | {ours / median(rows, 1):.2f}x |")


PARTS = {
    "refusals": ("refusals (429)", refusals, print_rates),
    "proxy": ("proxied requests, nine fields", proxied(ONE_RULE), print_cpu),
    "bare": ("proxied requests, one field", proxied(ONE_RULE, fields=()), print_cpu),
    "rules": ("proxied requests, nine fields, four rules", proxied(FOUR_RULES), print_cpu),
    "connections": ("a connection for each request", proxied(ONE_RULE, options=("-H", "Connection: close")), print_rates),
    "bodies": ("answers of 1 MiB", large_bodies, print_rates),
    "latency": ("proxied at 80 % of what both can", under_load, print_latencies),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the sluicegate program")
    parser.add_argument("--seconds", type=int, default=5, help="of load a round and server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas: " + ", ".join(PARTS))
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("wrk", "nginx", "haproxy", "h2load", "taskset"):
        if shutil.which(tool) is None:
            print(f"skipped: the gateway's benchmark needs {tool}: tools/install_packages.sh bench")
            return
    program = os.path.abspath(options.program)
    for part in options.only.split(","):
        title, measure, show = PARTS[part]
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            os.chmod(folder, 0o755)
            show(title, measure(Bench(program, folder, stack), options))


if __name__ == "__main__":
    main()

"""A server of JSON-RPC on standard input and output, for test_mcp_stdio.py. It does what it is asked:

    echo ANYTHING                 answers with the size and the digest of the line as it came
    exit {status}                 ends
    kill {signal}                 ends by a signal
    stderr {text}                 writes the text there, and answers
    big {bytes}                   answers with so much
    half                          begins its answer, and ends it when the next line has come
    hold, release                 answers when it is released
    signals                       tells each signal that it gets from then on

At the end of its input it says "end". It handles one line after the other, and takes every request of a
tool for its name.
"""

import hashlib
import json
import os
import signal
import sys

held = []
rest = b""  # Of an answer that was begun.


def write(data):
    os.write(1, data) if len(data) < 4096 else sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(**members):
    write(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")


def answer(message, **result):
    say(id=message["id"], result=result)


def on_signal(number, frame):
    say(method="notifications/signal", params={"name": signal.Signals(number).name})


def serve(line):
    global rest
    message = json.loads(line)
    asked = message.get("method")
    given = message.get("params", {})
    if asked == "tools/call":
        asked, given = given["name"], given.get("arguments", {})
    if rest:
        write(rest)
        rest = b""
    if asked == "exit":
        sys.exit(given["status"])
    elif asked == "kill":
        os.kill(os.getpid(), given["signal"])
    elif asked == "stderr":
        sys.stderr.write(given["text"])
        sys.stderr.flush()
    elif asked == "signals":
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, on_signal)
    elif asked == "big":
        return answer(message, text="x" * given["bytes"])
    elif asked == "half":
        whole = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}).encode() + b"\n"
        write(whole[:10])
        rest = whole[10:]
        return None
    elif asked == "hold":
        return held.append(message)
    elif asked == "release":
        while held:
            answer(held.pop())
    if "id" in message:
        return answer(message, bytes=len(line), digest=hashlib.sha256(line).hexdigest())
    return None


for line in sys.stdin.buffer:
    if line.strip():
        serve(line)
say(method="notifications/end")

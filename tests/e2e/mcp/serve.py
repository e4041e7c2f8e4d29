"""Serves an ASGI application on a free loopback port, and says which: a line "port=N" on stdout."""

import socket

import uvicorn


def serve(app):
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(f"port={listening.getsockname()[1]}", flush=True)
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(settings).run(sockets=[listening])

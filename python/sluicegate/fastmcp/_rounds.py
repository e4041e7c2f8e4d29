"""Requests of several rounds, in FastMCP 4: a tool asks its client something, and the client calls
it again with the answer. Each round comes as a request, but only the first one costs.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from typing import Any

from fastmcp.server.middleware import MiddlewareContext


def is_later_round(context: MiddlewareContext[Any]) -> bool:
    """What the client says. Whether it was asked, Rounds know."""
    answers = ("request_state", "input_responses")
    return any(getattr(context.message, name, None) is not None for name in answers)


def asks_back(result: Any) -> bool:
    return hasattr(result, "input_required")


def request_of(caller: bytes, context: MiddlewareContext[Any]) -> bytes:
    """The same in all rounds of a request. With the arguments, as others may cost more."""
    asked = (getattr(context.message, name, None) for name in ("name", "uri", "arguments"))
    text = json.dumps([caller.hex(), context.method, *asked], sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


class Rounds:
    """Which requests may go on without a charge. Thread-safe; of this process.

    A charged request that asks back may go on for a few rounds and no more, as a client could go on
    for ever. Those of longest ago are forgotten: then a round costs as a request.
    """

    _MOST_ROUNDS = 4
    _MOST_REQUESTS = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: OrderedDict[bytes, int] = OrderedDict()  # Guarded by the lock.

    def grant(self, request: bytes) -> None:
        with self._lock:
            self._set(request, self._MOST_ROUNDS)

    def take(self, request: bytes) -> bool:
        with self._lock:
            left = self._left.pop(request, 0)
            if left > 1:
                self._left[request] = left - 1
            return left > 0

    def give_back(self, request: bytes) -> None:
        """Of a round that was taken and denied: it may be tried again."""
        with self._lock:
            self._set(request, min(self._left.get(request, 0) + 1, self._MOST_ROUNDS))

    def _set(self, request: bytes, left: int) -> None:
        self._left[request] = left
        self._left.move_to_end(request)
        if len(self._left) > self._MOST_REQUESTS:
            self._left.popitem(last=False)

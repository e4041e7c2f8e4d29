"""For FastAPI: a limit as a dependency of one route, or of many."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import HTTPException, Request, Response

from sluicegate._core import Limit, Limiter, LimiterDoor, ManualClock
from sluicegate._limiter import whole_seconds


class RateLimit:
    """``Depends(RateLimit("10/minute"))``: each client may call the routes that depend on it so often.

    Routes that share one object share its quota. ``key``: who is limited, by the request; without it
    the address of the client. ``state``: the file in which all processes count together, under
    ``name``. Denials are HTTPException 429 with Retry-After; other responses say what is left.
    """

    def __init__(
        self,
        *limits: Limit | str,
        key: Callable[[Request], str] | None = None,
        memory: int = 4 << 20,
        state: str | None = None,
        name: str = "dependency",
        clock: ManualClock | None = None,
    ) -> None:
        self.limiter = Limiter(list(limits), memory=memory, state=state, name=name, clock=clock)
        self._key = key

    async def __call__(self, request: Request, response: Response) -> None:
        peer = request.client.host if request.client else "unknown"
        decision = self.limiter.check(self._key(request) if self._key else LimiterDoor.key_of(peer))
        reset = int(self.limiter.wall_time() + decision.reset_after) + 1
        headers = {
            "X-RateLimit-Limit": str(decision.quota),
            "X-RateLimit-Remaining": str(decision.remaining),
            "X-RateLimit-Reset": str(reset),
        }
        if decision.allowed:
            response.headers.update(headers)
            return
        seconds = whole_seconds(decision.retry_after)
        if seconds is not None:
            headers["Retry-After"] = str(seconds)
        raise HTTPException(429, f"Rate limit exceeded: {decision.limit}", headers)

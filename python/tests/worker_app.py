"""What the workers of test_workers.py serve."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sluicegate import RateLimiter, RateLimitMiddleware


async def _pid(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


limiter = RateLimiter(
    None, int(os.environ["QUOTA"]), None, None, memory=1 << 20, state=os.environ["STATE"]
)
app = Starlette(routes=[Route("/", _pid)])
app.add_middleware(RateLimitMiddleware, limiter=limiter)

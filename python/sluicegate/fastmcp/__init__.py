"""Rate limiting for FastMCP servers, decided by Sluicegate's C++ engine.

``PolicyMiddleware`` limits a server by a policy file, ``rate_limit_tool`` one tool.
``RateLimitingMiddleware`` and ``SlidingWindowRateLimitingMiddleware`` take the place of FastMCP's
own of these names. Runs with FastMCP 2.14, 3.4 and 4.
"""

from fastmcp.server.middleware.rate_limiting import RateLimitError

from sluicegate.fastmcp._caller import verified_client
from sluicegate.fastmcp._limiting import (
    RateLimitingMiddleware,
    SlidingWindowRateLimitingMiddleware,
)
from sluicegate.fastmcp._policy import PolicyMiddleware
from sluicegate.fastmcp._tools import rate_limit_tool

__all__ = [
    "PolicyMiddleware",
    "RateLimitError",
    "RateLimitingMiddleware",
    "SlidingWindowRateLimitingMiddleware",
    "rate_limit_tool",
    "verified_client",
]

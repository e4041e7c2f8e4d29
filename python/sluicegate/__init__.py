"""Rate limiting for Starlette, FastAPI and FastMCP, decided by Sluicegate's C++ engine.

``RateLimitMiddleware`` protects an ASGI application, ``rate_limit`` a function, ``rate_limit_tool`` a
tool of an MCP server, ``RateLimiter`` is the limiter behind them, and ``Limiter`` the engine's own
with limits of any kind. ``doc/python.md`` begins with a minute for each framework.
"""

from sluicegate._core import Decision, Limit, Limiter, ManualClock, version
from sluicegate._functions import (
    RateLimitError,
    get_all_rate_limit_stats,
    get_global_limiter,
    get_tool_rate_limit_stats,
    rate_limit,
    rate_limit_tool,
    reset_tool_stats,
)
from sluicegate._limiter import Allowance, RateLimitConfig, RateLimiter, RateLimitInfo
from sluicegate.middleware import RateLimitMiddleware

__version__ = version

__all__ = [
    "Allowance",
    "Decision",
    "Limit",
    "Limiter",
    "ManualClock",
    "RateLimitConfig",
    "RateLimitError",
    "RateLimitInfo",
    "RateLimitMiddleware",
    "RateLimiter",
    "__version__",
    "get_all_rate_limit_stats",
    "get_global_limiter",
    "get_tool_rate_limit_stats",
    "rate_limit",
    "rate_limit_tool",
    "reset_tool_stats",
]

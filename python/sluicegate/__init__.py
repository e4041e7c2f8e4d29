"""Rate limiting for Starlette, FastAPI and FastMCP, decided by Sluicegate's C++ engine.

``RateLimitMiddleware`` protects an ASGI application, ``rate_limit`` a function, ``rate_limit_tool`` a
tool of an MCP server, ``RateLimiter`` is the limiter behind them, and ``Limiter`` the engine's own
with limits of any kind. ``doc/python.md`` begins with a minute for each framework.
"""

import importlib.util
from pathlib import Path

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


def _tell_limits() -> None:
    """Makes ``storage_uri="sluicegate://"`` known where ``limits`` is installed.

    It has no entry points: a storage is known once its class is there. A module of the program's own
    that is called ``limits`` is left alone.
    """
    try:
        spec = importlib.util.find_spec("limits")
    except ValueError:  # Something put in its place by hand.
        return
    folders = spec.submodule_search_locations if spec is not None else None
    if not any((Path(folder) / "storage" / "base.py").exists() for folder in folders or ()):
        return
    try:
        import sluicegate.limits_storage  # noqa: F401
    except ImportError:
        pass  # A version that this package does not know. Importing the module tells.


_tell_limits()

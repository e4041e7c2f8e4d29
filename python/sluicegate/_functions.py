"""Decorators: limits for single functions and tools."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar, cast, get_args

from sluicegate._arguments import StatePath, check_quotas
from sluicegate._core import Decision, LimiterDoor, ToolStatistics
from sluicegate._limiter import RateLimitConfig, RateLimiter, whole_seconds
from sluicegate._names import name_apart
from sluicegate._requests import NO_ADDRESS, is_request, peer_of

P = ParamSpec("P")
R = TypeVar("R")

OnLimit = Literal["dict", "raise"]

NOBODY = "default"
"""The key of calls whose caller nothing names."""

_log = logging.getLogger("sluicegate")
_MEMORY = 4 << 20
"""Bytes of a decorated function's keys: some 20,000 under the default limits."""


class RateLimitError(Exception):
    """A call was denied. ``retry_after``: whole seconds until it passes; None: never."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def rate_limit(
    requests_per_minute: int | str = 60,
    requests_per_hour: int | None = 1000,
    burst_size: int | None = 10,
    key_func: Callable[[Any], str | None] | None = None,
    requests_per_day: int | None = None,
    *,
    state: StatePath | None = None,
    name: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limits the calls of a function, plain or async, each function on its own. Quotas
    ("10/minute; 100/5min") in place of ``requests_per_minute`` are all its limits. Write it below
    ``@app.get``, which would otherwise call the function without its limit.

    The key is ``key_func(request)``, or the address of the client of the request, which is found
    among the arguments, by position or by keyword (FastAPI passes keywords). A function without a
    request has one key for all, or ``key_func(kwargs)``. Where ``key_func`` fails or names nobody,
    the call counts as without it. Raises RateLimitError where it is denied.

    ``state``: the file in which all processes count together. There a function counts under its
    module and name, with " #2" behind it where another one has these already; or under ``name``,
    with all that have the same.
    """
    _check_arguments("rate_limit", requests_per_minute, key_func)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        check_function("rate_limit", function)
        called = name_of(function)
        limiter = limiter_of(
            function,
            requests_per_minute,
            requests_per_hour,
            requests_per_day,
            burst_size,
            state,
            name,
        )

        def admit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            key = _key_of_request(args, kwargs, key_func)
            decision = limiter.check(key)
            if decision.allowed:
                return
            if key != NOBODY:
                limiter.record_violation(key)
            raise RateLimitError(
                f"Rate limit exceeded for {called}", whole_seconds(decision.retry_after)
            )

        return _wrap(function, admit)

    return decorate


def rate_limit_tool(
    requests_per_minute: int | str = 60,
    requests_per_hour: int | None = 1000,
    burst_size: int | None = 10,
    key_func: Callable[[dict[str, Any]], str | None] | None = None,
    requests_per_day: int | None = None,
    on_limit: OnLimit = "dict",
    *,
    state: StatePath | None = None,
    name: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limits the calls of a tool, plain or async, each decorated one on its own. Quotas
    ("10/minute; 100/5min") in place of ``requests_per_minute`` are all its limits.

    The key is the tool's argument ``user_id``, else ``key_func(kwargs)``, else one for all. Mind
    that ``user_id`` is what the caller says: ``sluicegate.fastmcp.rate_limit_tool`` believes no
    argument. A denied call returns a dict that says so, or raises FastMCP's ToolError with a text
    for the model. Write it below ``@mcp.tool``, and ``on_limit="raise"`` where the tool says what it
    returns: FastMCP refuses a dict then. ``state`` and ``name`` are as rate_limit's.
    """
    _check_arguments("rate_limit_tool", requests_per_minute, key_func)

    def key_of(kwargs: dict[str, Any]) -> str:
        user_id = kwargs.get("user_id")
        return f"user:{user_id}" if user_id else key_of_arguments(kwargs, key_func)

    limiter_for = functools.partial(
        limiter_of,
        per_minute=requests_per_minute,
        per_hour=requests_per_hour,
        per_day=requests_per_day,
        burst_size=burst_size,
        state=state,
        name=name,
    )
    return tool_decorator(limiter_for, key_of, on_limit)


def tool_decorator(
    limiter_for: Callable[[Callable[..., Any]], RateLimiter],
    key_of: Callable[[dict[str, Any]], str],
    on_limit: OnLimit,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Puts each tool behind a limiter of its own. ``key_of`` gets the arguments by their names."""
    if on_limit not in get_args(OnLimit):
        raise ValueError(f"on_limit is {on_limit!r}. Write 'dict' or 'raise'.")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # What mcp.tool has seen already would be called without its limit.
        module = type(function).__module__.partition(".")[0]
        if hasattr(function, "__fastmcp__") or module in ("fastmcp", "mcp"):
            raise TypeError("rate_limit_tool stands above mcp.tool. Write it below @mcp.tool.")
        check_function("rate_limit_tool", function)
        if inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{name_of(function)} is an async generator, which cannot return what a denial is. "
                "Let the tool return its pieces in a list."
            )
        return _limit_tool(function, limiter_for(function), key_of, on_limit)

    return decorate


def _limit_tool(
    function: Callable[P, R],
    limiter: RateLimiter,
    key_of: Callable[[dict[str, Any]], str],
    on_limit: OnLimit,
) -> Callable[P, R]:
    tool = name_of(function)
    names = _parameter_names(function)

    def admit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = key_of({**dict(zip(names, args)), **kwargs})
        decision = limiter.check(key)
        tool_stats.count(tool, limited=not decision.allowed)
        if decision.allowed:
            return None
        if key != NOBODY:
            limiter.record_violation(key)
        if on_limit == "raise":
            raise tool_error(tool, decision, limiter)
        info = limiter.info(decision)
        return {
            "error": "Rate limit exceeded",
            "error_type": "rate_limit_exceeded",
            "tool_name": tool,
            "retry_after": info.retry_after,
            "reset_time": info.reset_time,
        }

    tool_stats.begin(tool)
    return _wrap(function, admit)


def tool_error(tool: str, decision: Decision, limiter: RateLimiter) -> Exception:
    """FastMCP's ToolError, whose text reaches the model; without FastMCP a RateLimitError."""
    text = limiter.denial_text(decision, f"tool {tool}")
    try:
        from fastmcp.exceptions import ToolError
    except ImportError:
        return RateLimitError(text, whole_seconds(decision.retry_after))
    return cast(Exception, ToolError(text))


tool_stats = ToolStatistics()


def get_tool_rate_limit_stats(tool_name: str) -> dict[str, Any]:
    """``total_calls``, ``rate_limited_calls``, ``rate_limit_rate``, and ``last_limited``: when, in
    seconds since 1970.
    """
    stats = tool_stats.get(tool_name)
    return {
        "tool_name": tool_name,
        **(stats or {"error": "Tool not found or no stats available"}),
    }


def get_all_rate_limit_stats() -> dict[str, Any]:
    """The sums, and under ``tools`` what get_tool_rate_limit_stats says of each; of more than 4096
    the others are one, "other".
    """
    tools = tool_stats.get_all()
    calls = sum(stats["total_calls"] for stats in tools.values())
    limited = sum(stats["rate_limited_calls"] for stats in tools.values())
    return {
        "total_calls": calls,
        "total_rate_limited": limited,
        "rate_limit_rate": limited / calls if calls else 0.0,
        "tools": tools,
    }


def reset_tool_stats(tool_name: str | None = None) -> None:
    """Sets a tool's counters to 0, or those of all. No quota comes back by it."""
    for tool in tool_stats.get_all() if tool_name is None else [tool_name]:
        if tool_stats.forget(tool):
            tool_stats.begin(tool)


_global_lock = threading.Lock()
_global_limiter: RateLimiter | None = None


def get_global_limiter(config: RateLimitConfig | None = None) -> RateLimiter:
    """One limiter for the program. The first call makes it, by its ``config``; later ones change
    nothing.
    """
    global _global_limiter
    with _global_lock:
        if config is not None and not isinstance(config, RateLimitConfig):
            raise TypeError(f"config is {config!r}. Write a RateLimitConfig.")
        if _global_limiter is None:
            made = config or RateLimitConfig()
            _global_limiter = RateLimiter(
                per_minute=made.requests_per_minute,
                per_hour=made.requests_per_hour,
                per_day=made.requests_per_day,
                burst_size=made.burst_size,
                name="global",
            )
        return _global_limiter


def limiter_of(
    function: Callable[..., Any],
    per_minute: int | str,
    per_hour: int | None,
    per_day: int | None,
    burst_size: int | None,
    state: StatePath | None,
    name: str | None,
) -> RateLimiter:
    """Of one function: no other counts with it, but the same one in other processes does."""
    check_quotas(per_minute, per_hour, per_day, burst_size, prefix="requests_per_")
    if name is None:
        unwrapped = _unwrapped(function)
        called = getattr(unwrapped, "__qualname__", type(unwrapped).__qualname__)
        name = name_apart(f"{unwrapped.__module__}.{called}", state)
    return RateLimiter(
        per_minute,
        per_hour,
        per_day,
        burst_size,
        memory=_MEMORY,
        state=state,
        name=name,
    )


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """How people call it: an object that can be called, by its class."""
    unwrapped = _unwrapped(function)
    return str(getattr(unwrapped, "__name__", type(unwrapped).__name__))


def check_function(decorator: str, function: Any) -> None:
    if isinstance(function, (classmethod, staticmethod)):
        kind = type(function).__name__
        raise TypeError(f"{decorator} stands above @{kind}. Write it below @{kind}.")
    if not callable(function):
        raise TypeError(f"{decorator} got {function!r}. Write it above a function.")


def _check_arguments(decorator: str, per_minute: Any, key_func: Any) -> None:
    if callable(per_minute):
        raise TypeError(f"{decorator} has no arguments. Write @{decorator}() or @{decorator}(60).")
    if key_func is None:
        return
    if not callable(key_func):
        raise TypeError(f"key_func is {key_func!r}. Write a function that returns the key.")
    if inspect.iscoroutinefunction(key_func):
        raise TypeError(f"key_func is async. Write a plain function, as {decorator} does not wait.")


def _wrap(
    function: Callable[P, R], admit: Callable[[tuple[Any, ...], dict[str, Any]], Any]
) -> Callable[P, R]:
    """``admit`` comes before each call; what it returns, if not None, is the call's result."""
    called = _unwrapped(function)
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__):

        @functools.wraps(function)
        async def later(*args: P.args, **kwargs: P.kwargs) -> Any:
            denied = admit(args, kwargs)
            return denied if denied is not None else await cast(Any, function)(*args, **kwargs)

        later.__name__ = name_of(function)
        return cast(Callable[P, R], later)

    @functools.wraps(function)
    def now(*args: P.args, **kwargs: P.kwargs) -> Any:
        denied = admit(args, kwargs)
        return denied if denied is not None else function(*args, **kwargs)

    now.__name__ = name_of(function)
    return now


def _parameter_names(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # Some that are written in C tell nothing.
        return []
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def _key_of_request(
    args: tuple[Any, ...], kwargs: dict[str, Any], key_func: Callable[[Any], str | None] | None
) -> str:
    request = next((value for value in (*args, *kwargs.values()) if is_request(value)), None)
    if request is None:
        return key_of_arguments(kwargs, key_func)
    key = _named_by(key_func, request, "the client's address")
    return LimiterDoor.key_of(peer_of(request.scope) or NO_ADDRESS) if key is None else key


def key_of_arguments(
    kwargs: dict[str, Any], key_func: Callable[[dict[str, Any]], str | None] | None
) -> str:
    key = _named_by(key_func, kwargs, "all")
    return NOBODY if key is None else key


def _named_by(key_func: Callable[[Any], Any] | None, value: Any, instead: str) -> str | None:
    """A function of the program's that fails must not open the limit: then it names nobody."""
    if key_func is None:
        return None
    try:
        key = key_func(value)
        if inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()
            raise TypeError("key_func returns something to wait for. Write a plain function.")
        return None if key is None else str(key)
    except Exception:
        _log.warning("key_func failed; the call counts for %s", instead, exc_info=True)
        return None

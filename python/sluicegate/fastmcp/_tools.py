"""The decorator for single tools."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from sluicegate._arguments import StatePath
from sluicegate._functions import OnLimit, key_of_arguments, limiter_of, tool_decorator
from sluicegate.fastmcp._caller import token_user

P = ParamSpec("P")
R = TypeVar("R")


def rate_limit_tool(
    requests_per_minute: int | str = 60,
    requests_per_hour: int | None = 1000,
    burst_size: int | None = 10,
    key_func: Callable[[dict[str, Any]], str] | None = None,
    requests_per_day: int | None = None,
    on_limit: OnLimit = "raise",
    *,
    trust_user_id_argument: bool = False,
    state: StatePath | None = None,
    name: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limits the calls of a tool, plain or async, each decorated one on its own. Write it below
    ``@mcp.tool``.

    The key is ``key_func(kwargs)``, else whom the verified access token names, else with
    ``trust_user_id_argument`` the tool's argument ``user_id``, else one for all. A denied call
    raises ToolError, whose text the model sees, or returns a dict that says so. ``state``: the file
    in which all processes count together, under the tool's module and name, or under ``name``; all
    with one ``name`` count together. Raises ValueError, with what to write instead, where an
    argument is none.
    """

    def key_of(kwargs: dict[str, Any]) -> str:
        if key_func is None:
            user = token_user()
            if not user and trust_user_id_argument:
                user = kwargs.get("user_id") or ""
            if user:
                return f"user:{user}"
        return key_of_arguments(kwargs, key_func)

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

"""The middleware that asks a policy."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from sluicegate._core import CallAnswer, ManualClock, PolicyDoor
from sluicegate.fastmcp._caller import is_from_client, peer, token_user
from sluicegate.fastmcp._errors import denial_data, denial_text, limit_error
from sluicegate.fastmcp._rounds import Rounds, asks_back, is_later_round
from sluicegate.middleware import read_policy

GetUser = Callable[[MiddlewareContext[Any]], Awaitable[str | None] | str | None]

_TOO_MANY_REQUESTS = 429
_log = logging.getLogger("sluicegate")


class PolicyMiddleware(Middleware):
    """Limits a server's requests by a policy, a file or its text: see ``doc/policy.md``.

    Rules match ``mcp_method`` ("tools/call", "tools/list", "initialize") and ``mcp_tool``. The user
    is whom the verified access token names, or whom ``get_user(context)`` names instead, plain or
    async; with ``trust_user_id_argument`` a call without one names its user in the argument
    ``user_id``. Over HTTP the client is the sender's address, and the policy's ``clients`` say
    which proxies to believe; in memory and over stdio all are one client.

    A denied call of a tool is a ToolError, whose text the model sees; any other denied request is
    FastMCP's RateLimitError with code 429. ``state``: the file in which all processes count
    together. Thread-safe. Raises ValueError, with file and line, where the policy has mistakes.
    """

    def __init__(
        self,
        policy: str | os.PathLike[str],
        *,
        state: str | None = None,
        trust_user_id_argument: bool = False,
        get_user: GetUser | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        text, name = read_policy(policy)
        self.trust_user_id_argument = trust_user_id_argument
        self.get_user = get_user
        self._door = PolicyDoor(text, file=name, state=state, clock=clock)
        self._rounds = Rounds()

    def publish(self, policy: str | os.PathLike[str]) -> list[str]:
        """Takes a new policy; what was counted stays. Returns what counts afresh, in words."""
        text, name = read_policy(policy)
        return self._door.publish(text, file=name)

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each rule, how many requests it admitted, limited, banned and exempted."""
        return self._door.counts()

    async def on_request(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        if not is_from_client(context):
            return await call_next(context)
        is_call = context.method == "tools/call"
        tool = str(getattr(context.message, "name", "")) if is_call else ""
        arguments = (getattr(context.message, "arguments", None) if is_call else None) or {}
        user = await self._user_of(context, arguments)
        sender = peer()
        who = user or sender.address
        if is_later_round(context) and self._rounds.take(who, context):
            return await call_next(context)
        answer = self._door.decide(
            client=sender.address,
            user=user,
            method=context.method or "",
            tool=tool,
            arguments=[_json_of(arguments, name) for name in self._door.asked_arguments],
            headers=sender.headers,
        )
        if not answer.allowed:
            raise _denial_of(context.method, tool, answer)
        try:
            result = await call_next(context)
        finally:
            self._door.end_call(answer)
        if asks_back(result):
            self._rounds.grant(who, context)
        return result

    async def _user_of(self, context: MiddlewareContext[Any], arguments: Mapping[str, Any]) -> str:
        user = token_user() if self.get_user is None else await self._named_by_program(context)
        if not user and self.trust_user_id_argument:
            user = arguments.get("user_id")
        return str(user or "")

    async def _named_by_program(self, context: MiddlewareContext[Any]) -> str | None:
        """A function of the program's that fails must not open a limit: then nobody is named."""
        assert self.get_user is not None
        try:
            user = self.get_user(context)
            return await user if inspect.isawaitable(user) else user
        except Exception:
            _log.warning("get_user failed; the call counts for its address", exc_info=True)
            return None


def _denial_of(method: str | None, tool: str, answer: CallAnswer) -> Exception:
    if tool:
        return cast(Exception, ToolError(denial_text(f"tool {tool}", answer)))
    text = denial_text(method or "this request", answer)
    return limit_error(text, denial_data(answer), _TOO_MANY_REQUESTS)


def _json_of(arguments: Mapping[str, Any], name: str) -> str:
    """An argument as the engine reads it; "": there is none."""
    if name not in arguments:
        return ""
    try:
        return json.dumps(arguments[name])
    except (TypeError, ValueError):
        return "null"  # No number, so it costs the most.

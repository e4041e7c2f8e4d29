"""The middleware that asks a policy."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from sluicegate._core import CallAnswer, ManualClock, PolicyDoor
from sluicegate.fastmcp._caller import is_from_client, peer, token_user
from sluicegate.fastmcp._errors import limit_error
from sluicegate.fastmcp._names import listed_name
from sluicegate.fastmcp._rounds import Rounds, asks_back, is_later_round, request_of
from sluicegate.middleware import log_warnings, read_policy

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
    together. Thread-safe. Raises ValueError, with file and line, where the policy has mistakes. Its
    warnings are logged.
    """

    def __init__(
        self,
        policy: str | os.PathLike[str],
        *,
        state: str | os.PathLike[str] | None = None,
        trust_user_id_argument: bool = False,
        get_user: GetUser | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        if get_user is not None and not callable(get_user):
            raise TypeError(f"get_user is {get_user!r}. Write a function of the context.")
        text, name = read_policy(policy)
        self.trust_user_id_argument = trust_user_id_argument
        self.get_user = get_user
        self._door = PolicyDoor(text, file=name, state=state, clock=clock, names_users=True)
        log_warnings(self._door, name)
        self._rounds = Rounds()

    def publish(self, policy: str | os.PathLike[str]) -> list[str]:
        """Takes a new policy, and reads its API keys again; what was counted stays. Returns what
        counts afresh, in words. Where it raises, the old policy and keys go on.
        """
        text, name = read_policy(policy)
        lines = self._door.publish(text, file=name, names_users=True)
        log_warnings(self._door, name)
        return lines

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each rule, how many requests it admitted, limited, banned and exempted."""
        return self._door.counts()

    def tools(self) -> dict[str, dict[str, Any]]:
        """Of each tool that was called ``total_calls``, ``rate_limited_calls``, ``rate_limit_rate``,
        and ``last_limited``: when, in seconds since 1970. Names come from clients: of more than 4096
        the others are one, "other".
        """
        return self._door.tools.get_all()

    def reset_tools(self, name: str | None = None) -> None:
        """Forgets what ``tools`` tells of one tool, or of all. No quota comes back by it."""
        if name is None:
            self._door.tools.forget_all()
        else:
            self._door.tools.forget(name)

    async def on_request(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        if not is_from_client(context):
            return await call_next(context)
        is_call = context.method == "tools/call"
        tool = await listed_name(context) if is_call else ""
        given = getattr(context.message, "arguments", None) if is_call else None
        arguments = given or {}
        user = await self._user_of(context, arguments)
        sender = peer()

        def request() -> bytes:
            caller = self._door.caller_of(
                client=sender.address, user=user, headers=sender.headers
            )
            return request_of(caller, context)

        goes_on = is_later_round(context) and self._rounds.take(request())
        answer = self._door.decide(
            client=sender.address,
            user=user,
            method=context.method or "",
            tool=tool,
            arguments=_as_json(arguments, self._door.asked_arguments),
            arguments_text=_text_of(given) if self._door.asks_arguments_text else "",
            places_only=goes_on,
            headers=sender.headers,
        )
        if not answer.allowed:
            if goes_on:
                self._rounds.give_back(request())
            raise _denial_of(tool, answer)
        try:
            result = await call_next(context)
        finally:
            self._door.end_call(answer)
        if asks_back(result) and not goes_on:
            self._rounds.grant(request())
        return result

    async def on_notification(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        """One too many is dropped, as nobody waits for an answer."""
        if not self._door.own_budgets:
            return await call_next(context)
        user = await self._user_of(context, {})
        sender = peer()
        answer = self._door.decide(
            client=sender.address,
            user=user,
            method=context.method or "",
            headers=sender.headers,
        )
        if not answer.allowed:
            return None
        try:
            return await call_next(context)
        finally:
            self._door.end_call(answer)

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


def _denial_of(tool: str, answer: CallAnswer) -> Exception:
    if tool:
        return cast(Exception, ToolError(answer.text))
    return limit_error(answer.text, json.loads(answer.numbers), _TOO_MANY_REQUESTS)


def _as_json(arguments: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Those of these names that are there, as the engine reads them."""
    return {name: _json_of(arguments[name]) for name in names if name in arguments}


def _json_of(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return "null"  # No number, so it costs the most.


def _text_of(arguments: Mapping[str, Any] | None) -> str:
    """All of them, as most clients write them: so the gateway makes the same key of them."""
    if arguments is None:
        return ""
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"), default=str)

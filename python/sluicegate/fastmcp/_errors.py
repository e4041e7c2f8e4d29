"""What a denied client is told."""

from __future__ import annotations

from typing import Any, cast

from fastmcp.server.middleware.rate_limiting import RateLimitError

from sluicegate._core import CallAnswer
from sluicegate._limiter import whole_seconds

_WINDOWS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


def limit_error(message: str, data: dict[str, Any], code: int | None = None) -> Exception:
    """FastMCP's own error, of its code unless said. Made by FastMCP, as versions make it from
    different arguments.
    """
    error = RateLimitError(message)
    changes = {"data": data} if code is None else {"data": data, "code": code}
    error.error = error.error.model_copy(update=changes)
    return cast(Exception, error)


def retry_words(retry_after: float | None) -> str:
    seconds = whole_seconds(retry_after)
    if seconds is None:
        return "Ask for less."
    return f"Retry after {seconds} second{'' if seconds == 1 else 's'}."


def denial_text(what: str, answer: CallAnswer) -> str:
    """What a model can act on."""
    return f"Rate limit exceeded for {what}{_reason(answer)} {retry_words(answer.retry_after)}"


def _reason(answer: CallAnswer) -> str:
    if answer.verdict == "banned":
        return ": calls went on after many denials."
    if not answer.violated:
        return "."
    if answer.window is None:
        return f": {answer.quota} at the same time."
    window = _WINDOWS.get(answer.window, f"{answer.window:g} seconds")
    if answer.retry_after is None:
        return f": this call costs more than {answer.quota} per {window} ever allows."
    return f": {answer.quota} per {window}."


def denial_data(answer: CallAnswer) -> dict[str, Any]:
    """The same in numbers; seconds are whole ones."""
    data = {
        "retryAfterSeconds": whole_seconds(answer.retry_after),
        "limit": answer.quota,
        "remaining": answer.remaining,
        "window": whole_seconds(answer.window),
        "policy": answer.rule,
    }
    return {name: value for name, value in data.items() if value is not None}

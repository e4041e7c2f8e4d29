"""What is wrong with an argument, in words that say what to write instead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

StatePath = str | os.PathLike[str]
"""Of a file in which processes count together."""


def check_quota(given: Any, argument: str) -> None:
    """A quota is a whole number from 1 on, or None: there is no such limit."""
    if given is None:
        return
    mend = "Write a whole number of at least 1, or None for no such limit."
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"{argument} is {given!r}. {mend}")
    if given < 1:
        raise ValueError(f"{argument} is {given!r}. {mend}")


def check_quotas(
    per_minute: Any, per_hour: Any, per_day: Any, burst_size: Any, prefix: str = "per_"
) -> None:
    """``prefix``: how the caller calls them, "per_" or "requests_per_"."""
    if not isinstance(per_minute, str):
        check_quota(per_minute, f"{prefix}minute")
    check_quota(per_hour, f"{prefix}hour")
    check_quota(per_day, f"{prefix}day")
    check_quota(burst_size, "burst_size")


def texts_of(given: Iterable[str], argument: str, like: str) -> list[str]:
    """A single text is refused: its letters would be taken for texts."""
    mend = f"Write a list or a set of texts, like ['{like}']."
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{argument} is {given!r}. {mend}")
    texts = list(given)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{argument} has {text!r} in it. {mend}")
    return texts

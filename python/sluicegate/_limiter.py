"""The original's limiter, by the engine: see ``doc/python.md``."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

from sluicegate._arguments import StatePath, check_quotas, texts_of
from sluicegate._core import Decision, Limit, Limiter, ManualClock, Networks

DEFAULT_MEMORY = 16 << 20
"""Bytes of a limiter's keys, taken at once: some 90,000 keys under the four default limits."""

_VIOLATIONS, _WITHIN, _COOLDOWN = 5, 60.0, 300.0


@dataclass
class RateLimitConfig:
    """What a middleware limits, and whom it does not.

    A limit of None is left out; quotas ("10/minute; 100/5min") in place of ``requests_per_minute``
    are all the limits that there are. ``exempt_ips`` takes addresses and networks ("10.0.0.0/8").
    Raises ValueError or TypeError, with what to write instead.
    """

    requests_per_minute: int | str | None = 60
    requests_per_hour: int | None = 1000
    requests_per_day: int | None = 10000
    burst_size: int | None = 10
    enabled: bool = True
    exempt_ips: set[str] = field(default_factory=set)
    exempt_user_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        check_quotas(
            self.requests_per_minute,
            self.requests_per_hour,
            self.requests_per_day,
            self.burst_size,
            prefix="requests_per_",
        )
        texts_of(self.exempt_user_ids, "exempt_user_ids", "ada")
        networks_of(frozenset(texts_of(self.exempt_ips, "exempt_ips", "10.0.0.0/8")))


@dataclass
class RateLimitInfo:
    """What a decision was about. Times are seconds since 1970.

    ``request_count``: units in use of the limit that binds. ``reset_time``: when that is as if never
    used. ``retry_after``: whole seconds until the same call passes; None: now, or never.
    """

    request_count: int = 0
    window_start: float = field(default_factory=time.time)
    reset_time: float = field(default_factory=lambda: time.time() + 60)
    limited: bool = False
    retry_after: int | None = None


class Allowance(NamedTuple):
    """``allowed, info``; in a boolean context it is ``allowed``."""

    allowed: bool
    info: RateLimitInfo

    def __bool__(self) -> bool:
        return self.allowed


class RateLimiter(Limiter):
    """At most so many calls of a key in *any* minute, hour and day, and so many at once.

    A limit of None is left out; ``burst_size`` needs one of the others beside it, at whose rate it
    comes back. Quotas ("10/minute; 100/5min") in place of ``per_minute`` are all the limits that
    there are. ``cleanup_interval`` does nothing: memory is fixed and nothing has to be cleaned up.

    With ``state``, the path of a file, all that name it count together, in all processes, under one
    ``name`` and with the same limits and ``memory``; where one of these differs, it begins with what
    was counted, and counts apart from then on. Thread-safe.

    Raises ValueError or TypeError, with what to write instead, where a number is none, memory is too
    small or the file cannot be used.
    """

    def __init__(
        self,
        per_minute: int | str | None = 60,
        per_hour: int | None = 1000,
        per_day: int | None = 10000,
        burst_size: int | None = 10,
        cleanup_interval: int = 300,
        *,
        memory: int = DEFAULT_MEMORY,
        state: StatePath | None = None,
        name: str = "limiter",
        fails_open: bool = False,
        clock: ManualClock | None = None,
    ) -> None:
        if isinstance(per_minute, str):
            limits = quotas_of(per_minute)
            per_hour = per_day = burst_size = None
        else:
            check_quotas(per_minute, per_hour, per_day, burst_size)
            limits = _limits(per_minute, per_hour, per_day, burst_size)
        super().__init__(
            limits,
            memory=memory,
            state=state,
            name=name,
            fails_open=fails_open,
            penalty=(_VIOLATIONS, _WITHIN, _COOLDOWN),
            clock=clock,
        )
        self.per_minute = per_minute
        self.per_hour = per_hour
        self.per_day = per_day
        self.burst_size = burst_size
        self.cleanup_interval = cleanup_interval
        self._places = {limit.name: place for place, limit in enumerate(self.limits)}
        self._windows = {limit.name: limit.window for limit in self.limits}

    async def is_allowed(self, key: str, config: RateLimitConfig | None = None) -> Allowance:
        """Charges one call of the key on all limits, or on none.

        ``config`` says who is exempt, and whether anybody is limited; its limits are the limiter's
        business. It waits for nothing.
        """
        if config is not None and (not config.enabled or _is_exempt(key, config)):
            return Allowance(True, RateLimitInfo())
        decision = self.check(key)
        return Allowance(decision.allowed, self.info(decision))

    def info(self, decision: Decision) -> RateLimitInfo:
        """What a decision of this limiter was about."""
        now = self.wall_time()
        reset_time = now + decision.reset_after
        window = self._windows.get(decision.limit or "", 0.0)
        return RateLimitInfo(
            request_count=decision.quota - decision.remaining,
            window_start=min(now, reset_time - window),
            reset_time=reset_time,
            limited=not decision.allowed,
            retry_after=None if decision.allowed else whole_seconds(decision.retry_after),
        )

    @overload
    def get_stats(self, key: None = None) -> dict[str, int]: ...

    @overload
    def get_stats(self, key: str) -> dict[str, Any]: ...

    def get_stats(self, key: str | None = None) -> dict[str, Any]:
        """Of a key, what is known of it; of all, the sums.

        ``total_clients`` are the keys with something in use, ``active_clients`` those with something
        of the shortest window in use. Requests (admitted ones) and violations are those of this
        process; a middleware's are among them, and a cost of 0 or a peek is no request.
        """
        if key is None:
            shortest = min(self._windows, key=lambda name: (name == "burst", self._windows[name]))
            return {
                "total_clients": self.estimate_live(),
                "total_requests": self.admitted,
                "total_violations": self.violations,
                "active_clients": self.estimate_live(self._places[shortest]),
            }
        used, violations, _ = self.look(key)

        def used_of(name: str) -> int:
            place = self._places.get(name)
            return 0 if place is None else used[place]

        tokens = 0 if self.burst_size is None else self.burst_size - used_of("burst")
        return {
            "key": key,
            "requests_per_minute": used_of("per-minute"),
            "requests_per_hour": used_of("per-hour"),
            "requests_per_day": used_of("per-day"),
            "violations": violations,
            "current_tokens": float(tokens),
        }


def _limits(
    per_minute: int | None, per_hour: int | None, per_day: int | None, burst_size: int | None
) -> list[Limit]:
    windows = {"minute": per_minute, "hour": per_hour, "day": per_day}
    limits = [
        Limit.parse(f"{quota}/{window}").named(f"per-{window}")
        for window, quota in windows.items()
        if quota is not None
    ]
    if burst_size is not None and not limits:
        raise ValueError(
            "burst_size comes back at the rate of a limit per minute, hour or day, and there is none. "
            "Write one of them, or leave burst_size out."
        )
    if burst_size is not None:
        limits.append(Limit.burst(burst_size).named("burst"))
    return limits


def quotas_of(text: str) -> list[Limit]:
    """Of a text with one quota or more: "10/minute; 100/5min"."""
    return [Limit.parse(quota.strip()) for quota in text.split(";")]


def whole_seconds(seconds: float | None) -> int | None:
    """Rounded up, at least 1. None: never."""
    return None if seconds is None else max(1, math.ceil(seconds))


@functools.lru_cache(maxsize=64)
def networks_of(exempt_ips: frozenset[str]) -> Networks:
    """Compiled once for each set of texts. Raises ValueError where one is none."""
    return Networks(sorted(exempt_ips), "exempt_ips")


def _is_exempt(key: str, config: RateLimitConfig) -> bool:
    if key.removeprefix("user:") in config.exempt_user_ids:
        return True
    return bool(config.exempt_ips) and networks_of(frozenset(config.exempt_ips)).contains(key)

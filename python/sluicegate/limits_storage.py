"""A storage for ``limits``, and so for slowapi and Flask-Limiter: ``storage_uri="sluicegate://"``.

``sluicegate://`` counts in the memory of the process, ``sluicegate:///dev/shm/app`` in a file, in which
all processes that name it count together; with ``async+`` before it, for ``limits.aio``. Options stand
behind a ``?`` or in ``storage_options``:

- ``memory``: bytes of each table, 8 MiB. The counting strategies have one, of 262,144 keys; the moving
  window has one of some 131,000 keys for each pair of a limit and its seconds, at most 64 of them. In a
  file it is what a process that is using these tables gave; the first one says it.
- ``name``: in a file, storages of one name count together.
- ``fails_open``: whether a key that a stopped process holds is allowed, instead of denied for a second.

The moving window is the engine's sliding window: never more than the limit in *any* so many seconds.
The other strategies count as ``limits`` says. Their keys begin a window each with its first hit.

``import sluicegate`` makes the schemes known. This module needs ``limits`` to be installed.
"""

from __future__ import annotations

import inspect
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlparse

import limits.aio.storage as aio
from limits import storage
from limits.errors import ConfigurationError

from sluicegate._core import Limit, Limiter, ManualClock, WindowCounts, state_regions

if TYPE_CHECKING or hasattr(storage, "SlidingWindowCounterSupport"):
    from limits.aio.storage import SlidingWindowCounterSupport as AsyncSlidingWindowCounterSupport
    from limits.storage import SlidingWindowCounterSupport
else:  # limits before 4.1.

    class SlidingWindowCounterSupport:
        """Nobody asks for it."""

    AsyncSlidingWindowCounterSupport = SlidingWindowCounterSupport

DEFAULT_MEMORY = 8 << 20
MOST_MEMORY = 1 << 40
"""More than any machine gives."""
MOST_WINDOWS = 64
"""Pairs of a limit and its seconds that a storage keeps moving windows of."""

# Before 5.0 a fixed window could be elastic.
_HAS_ELASTIC = "elastic_expiry" in inspect.signature(storage.Storage.incr).parameters
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,16}")


class _Counters:
    """What both storages do, under the names that limits gives it."""

    def __init__(self, uri: str | None, options: dict[str, Any]) -> None:
        self._state, given = _parse(uri or "sluicegate://", options)
        memory = _number(given.pop("memory", DEFAULT_MEMORY))
        self._name = _name(given.pop("name", "limits"))
        self._fails_open = _truth(given.pop("fails_open", False))
        self._clock = _clock(given.pop("clock", None))
        if given:
            raise ConfigurationError(
                f"{', '.join(sorted(given))}: no option of this storage. It has memory, name and fails_open."
            )
        try:
            self._counts = WindowCounts(
                memory=memory,
                state=self._state,
                name=self._name,
                fails_open=self._fails_open,
                clock=self._clock,
            )
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        # Of a file, as others have it who are using it: so the tables of the windows are theirs, too.
        self._memory = self._counts.memory
        self._lock = threading.Lock()
        self._windows: dict[tuple[int, float], Limiter] = {}  # Written under the lock.
        self._slid: set[float] = set()  # Seconds of sliding counters.

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1, *, elastic: bool = False) -> int:
        return self._counts.add(key, expiry, amount, elastic)

    def get(self, key: str) -> int:
        return self._counts.get(key)

    def get_expiry(self, key: str) -> float:
        return self._counts.end(key)

    def acquire_entry(self, key: str, limit: int, expiry: float, amount: int = 1) -> bool:
        if limit < 1 or amount > limit:
            return amount <= limit
        return self._window(limit, expiry).check(key, amount).allowed

    def get_moving_window(self, key: str, limit: int, expiry: float) -> tuple[float, int]:
        """When the window began, so that at its end a unit comes back; and the units in it."""
        if limit < 1:
            return self._counts.end(key), 0
        window = self._window(limit, expiry)
        decision = window.peek(key)
        used = decision.quota - decision.remaining if decision.allowed else limit
        if used == 0:
            return window.wall_time(), 0
        return window.wall_time() + decision.hold - expiry, used

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: float, amount: int = 1
    ) -> bool:
        if len(self._slid) < MOST_WINDOWS:
            self._slid.add(expiry)
        return self._counts.acquire(key, max(limit, 0), expiry, amount)

    def get_sliding_window(self, key: str, expiry: float) -> tuple[int, float, int, float]:
        before, count, left = self._counts.get_pair(key, expiry)
        return before, left if before else 0.0, count, left + expiry if left else 0.0

    def clear_sliding_window(self, key: str, expiry: float) -> None:
        self._counts.forget_pair(key, expiry)

    def clear(self, key: str) -> None:
        self._counts.forget(key)
        for expiry in tuple(self._slid):  # limits before 5.0 names no window when it clears one.
            self._counts.forget_pair(key, expiry)
        for window in self._all_windows():
            window.forget(key)

    def reset(self) -> int | None:
        """Of a file for all processes, as long as it is where it was; else of this process' tables.
        How many keys were forgotten.
        """
        return self._counts.forget_all() + sum(
            window.forget_all() for window in self._all_windows()
        )

    def check(self) -> bool:
        """False: the file is not where it was, so who starts now counts apart; or it was cut short."""
        return self._counts.is_in_place

    def _window(self, limit: int, expiry: float) -> Limiter:
        window = self._windows.get((limit, expiry))
        if window is not None:
            return window
        if len(self._windows) >= MOST_WINDOWS:
            raise ValueError(
                f"{limit} per {expiry} s: this storage has {MOST_WINDOWS} moving windows, which is the "
                "most. Use fewer different limits, or several storages."
            )
        return self._make_window(limit, expiry)

    def _make_window(self, limit: int, expiry: float) -> Limiter:
        with self._lock:
            window = self._windows.get((limit, expiry))
            if window is None:
                quota = Limit.parse(f"{limit}/{round(expiry * 1_000_000_000)}ns")
                window = self._windows[limit, expiry] = Limiter(
                    [quota.named("moving-window")],
                    memory=self._memory,
                    state=self._state,
                    name=f"{self._name} {limit} in {expiry:.15g}s",
                    fails_open=self._fails_open,
                    clock=self._clock,
                )
            return window

    def _all_windows(self) -> list[Limiter]:
        """This process', and of a file those that others made."""
        made = re.compile(re.escape(self._name) + r" (\d+) in ([\d.]+)s/rates")
        for region in self._regions():
            if found := made.fullmatch(region):
                self._make_window(int(found[1]), float(found[2]))
        return list(self._windows.values())

    def _regions(self) -> list[str]:
        """Of the file. None where another file, or nothing, lies there now."""
        if self._state is None or not self.check():
            return []
        try:
            return state_regions(self._state)
        except ValueError:
            if self.check():
                raise
            return []


class SluicegateStorage(
    _Counters, storage.Storage, storage.MovingWindowSupport, SlidingWindowCounterSupport
):
    """``sluicegate://``. Thread-safe."""

    STORAGE_SCHEME = ["sluicegate"]

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        storage.Storage.__init__(self, uri, wrap_exceptions=wrap_exceptions)
        _Counters.__init__(self, uri, options)

    if not TYPE_CHECKING and _HAS_ELASTIC:

        def incr(self, key, expiry, elastic_expiry=False, amount=1):
            return _Counters.incr(self, key, expiry, amount, elastic=elastic_expiry)


class AsyncSluicegateStorage(
    aio.Storage, aio.MovingWindowSupport, AsyncSlidingWindowCounterSupport
):
    """``async+sluicegate://``. Nothing in it waits, but that a table is made at its first use."""

    STORAGE_SCHEME = ["async+sluicegate"]

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._counters = _Counters(uri, options)

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return self._counters.base_exceptions

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        return self._counters.incr(key, expiry, amount)

    if not TYPE_CHECKING and _HAS_ELASTIC:

        async def incr(self, key, expiry, elastic_expiry=False, amount=1):
            return self._counters.incr(key, expiry, amount, elastic=elastic_expiry)

    async def get(self, key: str) -> int:
        return self._counters.get(key)

    async def get_expiry(self, key: str) -> float:
        return self._counters.get_expiry(key)

    async def acquire_entry(self, key: str, limit: int, expiry: float, amount: int = 1) -> bool:
        return self._counters.acquire_entry(key, limit, expiry, amount)

    async def get_moving_window(self, key: str, limit: int, expiry: float) -> tuple[float, int]:
        return self._counters.get_moving_window(key, limit, expiry)

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: float, amount: int = 1
    ) -> bool:
        return self._counters.acquire_sliding_window_entry(key, limit, expiry, amount)

    async def get_sliding_window(self, key: str, expiry: float) -> tuple[int, float, int, float]:
        return self._counters.get_sliding_window(key, expiry)

    async def clear_sliding_window(self, key: str, expiry: float) -> None:
        self._counters.clear_sliding_window(key, expiry)

    async def clear(self, key: str) -> None:
        self._counters.clear(key)

    async def reset(self) -> int | None:
        return self._counters.reset()

    async def check(self) -> bool:
        return self._counters.check()


def _parse(uri: str, options: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The file, or None; and what is given by the URI and by name, which counts more."""
    parsed = urlparse(uri)
    if parsed.netloc:
        raise ConfigurationError(
            f"{uri}: a file's path begins with a third slash. Write {parsed.scheme}:///dev/shm/app."
        )
    if parsed.fragment:
        raise ConfigurationError(f"{uri}: options stand behind a ?, and a # in a path is %23.")
    pairs = parse_qsl(parsed.query, keep_blank_values=True)
    given: dict[str, Any] = dict(pairs)
    if len(given) < len(pairs):
        raise ConfigurationError(f"{uri}: an option stands there twice. Write it once.")
    return unquote(parsed.path, errors="surrogateescape") or None, {**given, **options}


def _number(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_MEMORY:
        return value
    raise ConfigurationError(f"memory={value}: write a number of bytes, like {DEFAULT_MEMORY}.")


def _name(value: Any) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ConfigurationError(
        f"name={value!r}: at most 16 letters, digits, dots, hyphens and underscores."
    )


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ConfigurationError(f"fails_open={value}: write true or false.")


def _clock(value: Any) -> ManualClock | None:
    if value is None or isinstance(value, ManualClock):
        return value
    raise ConfigurationError(f"clock={value!r}: a ManualClock, for tests. Leave it out.")

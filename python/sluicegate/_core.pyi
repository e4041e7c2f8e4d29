"""
The engine of Sluicegate. Use the package sluicegate, which documents it.
"""

from collections.abc import Iterable, Sequence
import os
from typing import Any


version: str = '0.1.0'

class Limit:
    @staticmethod
    def parse(quota: str) -> Limit: ...

    @staticmethod
    def fixed_window(quota: str) -> Limit: ...

    @staticmethod
    def burst(capacity: int, refill: str | None = None) -> Limit: ...

    @staticmethod
    def concurrency(in_flight: int, lease: float = 60.0) -> Limit: ...

    def named(self, name: str) -> Limit: ...

    @property
    def name(self) -> str: ...

    @property
    def quota(self) -> int: ...

    @property
    def window(self) -> float: ...

    @property
    def algorithm(self) -> str: ...

    def __eq__(self, arg: object, /) -> bool: ...

    def __hash__(self) -> int: ...

    def __repr__(self) -> str: ...

class Decision:
    @property
    def allowed(self) -> bool: ...

    @property
    def verdict(self) -> str: ...

    @property
    def limit(self) -> str | None: ...

    @property
    def violated(self) -> list[str]: ...

    @property
    def quota(self) -> int: ...

    @property
    def remaining(self) -> int: ...

    @property
    def retry_after(self) -> float | None: ...

    @property
    def hold(self) -> float: ...

    @property
    def reset_after(self) -> float: ...

    @property
    def retry_text(self) -> str:
        """Of a denial: "Retry after 7 seconds.", or "Ask for less.\""""

    def __bool__(self) -> bool: ...

    def __repr__(self) -> str: ...

class ManualClock:
    def __init__(self, unix_time: float = 0.0) -> None: ...

    def advance(self, seconds: float) -> None: ...

    def set(self, elapsed: float, unix_time: float) -> None: ...

class Limiter:
    def __init__(self, limits: Iterable[Limit | str], *, memory: int = 16777216, state: str | os.PathLike[str] | None = None, name: str = 'limiter', fails_open: bool = False, penalty: tuple[int, float, float] | None = None, clock: ManualClock | None = None) -> None: ...

    def check(self, key: str, cost: int = 1) -> Decision:
        """
        Charges the key with `cost` units on every limit, or on none where one has no room.
        """

    def check_many(self, keys: Iterable[str], cost: int = 1) -> list[bool]:
        """
        As `check` for each key in turn: which were allowed. Faster where there are many.
        """

    def peek(self, key: str) -> Decision: ...

    def denial_text(self, decision: Decision, what: str) -> str:
        """What denied, and when to try again, in words that a model can act on."""

    def give_back(self, decision: Decision) -> None:
        """Undoes the charge of a decision, once."""

    def release(self, decision: Decision) -> None:
        """Ends what a decision put in flight, once."""

    def record_violation(self, key: str) -> bool: ...

    def look(self, key: str) -> tuple[list[int], int, float]: ...

    def forget(self, key: str) -> bool:
        """Forgets what the key used, its violations and its ban."""

    def forget_all(self) -> int:
        """Forgets the same of all keys; how many had something in use."""

    @property
    def limits(self) -> list[Limit]: ...

    @property
    def capacity(self) -> int: ...

    @property
    def evictions(self) -> int: ...

    @property
    def admitted(self) -> int: ...

    @property
    def violations(self) -> int: ...

    def estimate_live(self, limit: int | None = None) -> int: ...

    def wall_time(self) -> float: ...

class ToolStatistics:
    def __init__(self) -> None: ...

    def begin(self, tool: str) -> None:
        """From now on the tool is known, with all counters 0 if it was not."""

    def count(self, tool: str, limited: bool) -> None: ...

    def get(self, tool: str) -> dict[str, Any] | None: ...

    def get_all(self) -> dict[str, dict[str, Any]]: ...

    def forget(self, tool: str) -> bool:
        """False: it was not known."""

    def forget_all(self) -> None: ...

class Answer:
    @property
    def allowed(self) -> bool: ...

    @property
    def status(self) -> int: ...

    @property
    def verdict(self) -> str: ...

    @property
    def retry_after(self) -> float | None: ...

    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...

    @property
    def body(self) -> bytes: ...

class CallAnswer:
    @property
    def allowed(self) -> bool: ...

    @property
    def verdict(self) -> str: ...

    @property
    def rule(self) -> str: ...

    @property
    def text(self) -> str:
        """Of a denial, in words that a model can act on."""

    @property
    def numbers(self) -> str:
        """The same as a JSON object."""

    @property
    def remaining(self) -> int: ...

class Door:
    def ask(self, peer: str, method: str, path: str, headers: Iterable[Iterable[bytes]]) -> Answer: ...

    def end(self, answer: Answer) -> None: ...

class LimiterDoor(Door):
    def __init__(self, limiter: Limiter, trusted_proxies: Sequence[str] = [], exempt_ips: Sequence[str] = [], exempt_users: Sequence[str] = [], headers: Sequence[str] = ['draft11', 'x-ratelimit-epoch']) -> None: ...

    def key_for(self, peer: str, headers: Iterable[Iterable[bytes]] = ()) -> str:
        """Whom `ask` charges: an address, or from a trusted proxy its user."""

    def fields_of(self, decision: Decision) -> list[tuple[bytes, bytes]]:
        """What `ask` tells of a decision of the limiter about one unit."""

    @staticmethod
    def key_of(peer: str) -> str: ...

class Networks:
    def __init__(self, networks: Sequence[str], argument: str) -> None: ...

    def contains(self, address: str) -> bool:
        """False where it is no address."""

class PolicyDoor(Door):
    def __init__(self, policy: str, file: str = 'policy', state: str | os.PathLike[str] | None = None, clock: ManualClock | None = None, names_users: bool = False) -> None: ...

    def decide(self, *, client: str = '', user: str = '', method: str = '', tool: str = '', arguments: dict[str, str] = {}, arguments_text: str = '', cost: int | None = None, places_only: bool = False, headers: Iterable[Iterable[bytes]] = ()) -> CallAnswer:
        """
        Arguments are JSON texts by their names; which ones, asked_arguments says. Of one that is not there the rule's default counts. Their text, all of them as one JSON text, is read where asks_arguments_text says so.
        """

    def caller_of(self, *, client: str = '', user: str = '', headers: Iterable[Iterable[bytes]] = ()) -> bytes:
        """
        The same for calls of one client, user and API key, as the policy has them.
        """

    def end_call(self, answer: CallAnswer) -> None: ...

    def publish(self, policy: str, file: str = 'policy', names_users: bool = False) -> list[str]: ...

    def counts(self) -> dict[str, dict[str, int]]: ...

    @property
    def tools(self) -> ToolStatistics:
        """Of the tools that `decide` heard of."""

    @property
    def own_budgets(self) -> bool:
        """Whether handshakes, lists and notifications have budgets of their own."""

    @property
    def asks_arguments_text(self) -> bool: ...

    @property
    def asked_arguments(self) -> list[str]: ...

    def warnings(self, file: str = 'policy') -> list[str]: ...

class WindowCounts:
    def __init__(self, *, memory: int, state: str | os.PathLike[str] | None = None, name: str = 'limiter', fails_open: bool = False, clock: ManualClock | None = None) -> None: ...

    def add(self, key: str, window: float, amount: int = 1, elastic: bool = False) -> int: ...

    def get(self, key: str) -> int: ...

    def end(self, key: str) -> float: ...

    def forget(self, key: str) -> bool: ...

    def acquire(self, key: str, quota: int, window: float, amount: int = 1) -> bool: ...

    def get_pair(self, key: str, window: float) -> tuple[int, int, float]: ...

    def forget_pair(self, key: str, window: float) -> bool: ...

    def forget_all(self) -> int: ...

    @property
    def is_in_place(self) -> bool: ...

    @property
    def capacity(self) -> int: ...

    @property
    def memory(self) -> int: ...

    @property
    def evictions(self) -> int: ...

def state_regions(file: str) -> list[str]: ...

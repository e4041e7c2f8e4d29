"""RateLimiter: the original's calls, and that its faults do not come back."""

import asyncio
import math
import multiprocessing
import pathlib
import threading

import pytest

from sluicegate import Limit, Limiter, ManualClock, RateLimitConfig, RateLimiter, RateLimitInfo


def limiter(clock: ManualClock, **options: object) -> RateLimiter:
    return RateLimiter(clock=clock, memory=1 << 20, **options)  # type: ignore[arg-type]


async def test_the_answer_is_true_or_false_and_unpacks_to_two(clock: ManualClock) -> None:
    limited = limiter(clock, per_minute=1)
    answer = await limited.is_allowed("ada")
    allowed, info = answer
    assert answer and allowed and isinstance(info, RateLimitInfo) and not info.limited
    denied = await limited.is_allowed("ada")
    assert not denied, "`if await limiter.is_allowed(...)` was always true in the original"
    assert denied.info.limited and denied.info.retry_after is not None


async def test_the_defaults_are_the_originals(clock: ManualClock) -> None:
    limited = limiter(clock)
    names = [(limit.name, limit.quota) for limit in limited.limits]
    assert names == [("per-minute", 60), ("per-hour", 1000), ("per-day", 10000), ("burst", 10)]
    allowed = [bool(await limited.is_allowed("ada")) for _ in range(12)]
    assert allowed == [True] * 10 + [False] * 2, "a burst of 10"
    config = RateLimitConfig()
    assert (config.requests_per_minute, config.requests_per_hour) == (60, 1000)
    assert (config.requests_per_day, config.burst_size, config.enabled) == (10000, 10, True)
    assert config.exempt_ips == set() and config.exempt_user_ids == set()
    info = RateLimitInfo()
    assert (info.request_count, info.limited, info.retry_after) == (0, False, None)


@pytest.mark.parametrize(("per_minute", "seconds"), [(60, 1.0), (600, 0.1), (6, 10.0)])
def test_a_burst_comes_back_at_the_rate_of_the_limit(
    clock: ManualClock, per_minute: int, seconds: float
) -> None:
    """It came back at one a second, whatever the limit was."""
    limited = limiter(clock, per_minute=per_minute, per_hour=None, per_day=None, burst_size=1)
    assert limited.check("ada")
    assert not limited.check("ada")
    clock.advance(seconds * 0.99)
    assert not limited.check("ada")
    clock.advance(seconds * 0.02)
    assert limited.check("ada")


@pytest.mark.parametrize(("window", "length"), [("per_hour", 3600), ("per_day", 86400)])
async def test_the_wait_for_hours_and_days_is_true(
    clock: ManualClock, window: str, length: int
) -> None:
    """It was 1 s."""
    windows: dict[str, int | None] = {"per_minute": None, "per_hour": None, "per_day": None}
    limited = limiter(clock, burst_size=None, **{**windows, window: 3})
    for _ in range(3):
        assert await limited.is_allowed("ada")
    _, info = await limited.is_allowed("ada")
    assert info.retry_after is not None and length <= info.retry_after <= length * 16 / 15 + 1
    clock.advance(info.retry_after - 1)
    assert not await limited.is_allowed("ada")
    clock.advance(1)
    assert await limited.is_allowed("ada")


def test_limits_of_hours_and_days_outlive_the_clean_up(clock: ManualClock) -> None:
    """The clean-up forgot what was older than five minutes."""
    limited = limiter(clock, per_minute=None, per_hour=None, per_day=2, burst_size=None)
    assert limited.check("ada") and limited.check("ada")
    for _ in range(20):
        clock.advance(3600)
        assert not limited.check("ada")


def test_memory_is_bounded(clock: ManualClock) -> None:
    limited = limiter(clock)
    capacity = limited.capacity
    limited.check_many([f"key-{i}" for i in range(10 * capacity)])
    assert limited.capacity == capacity
    assert limited.estimate_live() <= capacity
    assert limited.evictions > 0


def test_an_offender_is_not_forgotten_in_a_flood(clock: ManualClock) -> None:
    limited = limiter(clock, per_minute=3, burst_size=None)
    for _ in range(3):
        assert limited.check("offender")
    flood = [f"key-{i}" for i in range(10 * limited.capacity)]
    limited.check_many(flood)
    assert not limited.check("offender")


async def test_a_denial_burns_nothing(clock: ManualClock) -> None:
    """It burned a token of the burst."""
    limited = limiter(clock, per_minute=2, per_hour=None, per_day=None, burst_size=5)
    for _ in range(10):
        await limited.is_allowed("ada")
    assert limited.get_stats("ada")["requests_per_minute"] == 2
    assert limited.get_stats("ada")["current_tokens"] == 3


def test_five_violations_within_a_minute_cool_down_for_five(clock: ManualClock) -> None:
    limited = limiter(clock)
    for _ in range(4):
        limited.record_violation("ada")
    assert limited.check("ada")
    limited.record_violation("ada")
    banned = limited.check("ada")
    assert not banned and banned.verdict == "banned" and banned.retry_after == 300
    assert limited.check("bob")
    for _ in range(1000):
        limited.record_violation("ada")
    clock.advance(300)
    assert limited.check("ada"), "violations in a ban do not make it longer"


async def test_a_violation_is_what_the_caller_says(clock: ManualClock) -> None:
    limited = limiter(clock, per_minute=1)
    for _ in range(20):
        await limited.is_allowed("ada")
    assert limited.get_stats("ada")["violations"] == 0


def test_statistics_of_a_key(clock: ManualClock) -> None:
    limited = limiter(clock)
    for _ in range(7):
        limited.check("ada")
    limited.record_violation("ada")
    assert limited.get_stats("ada") == {
        "key": "ada",
        "requests_per_minute": 7,
        "requests_per_hour": 7,
        "requests_per_day": 7,
        "violations": 1,
        "current_tokens": 3.0,
    }
    clock.advance(120)
    later = limited.get_stats("ada")
    assert (later["requests_per_minute"], later["requests_per_hour"]) == (0, 7)
    assert later["current_tokens"] == 10.0
    assert limited.get_stats("nobody")["requests_per_day"] == 0


def test_statistics_of_all(clock: ManualClock) -> None:
    limited = limiter(clock)
    limited.check("ada")
    limited.check("ada")
    limited.check("bob")
    limited.record_violation("bob")
    assert limited.get_stats() == {
        "total_clients": 2,
        "total_requests": 3,
        "total_violations": 1,
        "active_clients": 2,
    }
    clock.advance(120)
    assert limited.get_stats()["active_clients"] == 0
    assert limited.get_stats()["total_clients"] == 2


async def test_the_config_says_whom_to_limit(clock: ManualClock) -> None:
    limited = limiter(clock, per_minute=1)
    config = RateLimitConfig(exempt_ips={"10.0.0.0/8", "192.0.2.1"}, exempt_user_ids={"root"})
    for _ in range(3):
        for key in ("10.1.2.3", "192.0.2.1", "root", "user:root"):
            assert await limited.is_allowed(key, config)
        assert await limited.is_allowed("ada", RateLimitConfig(enabled=False))
    assert await limited.is_allowed("192.0.2.2", config)
    assert not await limited.is_allowed("192.0.2.2", config)


async def test_what_an_answer_is_about(clock: ManualClock) -> None:
    limited = limiter(clock, per_minute=3, per_hour=None, per_day=None, burst_size=None)
    _, info = await limited.is_allowed("ada")
    assert info.request_count == 1
    assert info.window_start <= limited.wall_time() < info.reset_time
    await limited.is_allowed("ada")
    await limited.is_allowed("ada")
    _, info = await limited.is_allowed("ada")
    assert info.request_count == 3, "not 0, which made Remaining full on a 429"


def test_costs_and_peeks_and_giving_back(clock: ManualClock) -> None:
    limited = Limiter(["10/minute"], memory=1 << 20, clock=clock)
    decision = limited.check("ada", 4)
    assert limited.check("ada", cost=4)
    assert not limited.check("ada", cost=4) and limited.peek("ada").remaining == 2
    limited.give_back(decision)
    assert limited.peek("ada").remaining == 6
    assert limited.check("ada", 11).retry_after is None, "never"


def test_what_is_in_flight_ends(clock: ManualClock) -> None:
    limited = Limiter([Limit.concurrency(1)], memory=1 << 20, clock=clock)
    first = limited.check("ada")
    assert first and not limited.check("ada")
    limited.release(first)
    assert limited.check("ada")


def test_many_keys_at_once(clock: ManualClock) -> None:
    limited = Limiter(["2/minute"], memory=1 << 20, clock=clock)
    assert limited.check_many(["ada", "bob", "ada", "ada"]) == [True, True, True, False]
    assert limited.check_many([]) == []
    keys = [f"key-{i}" for i in range(1000)]
    assert all(limited.check_many(tuple(keys)))
    with pytest.raises(TypeError):
        limited.check_many(["ada", 7])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Limiter(["sixty/minute"]), "sixty"),
        (lambda: Limiter([]), "There are no limits"),
        (lambda: Limiter(["1/s"], memory=10), "has no room"),
        (lambda: RateLimiter(per_minute=0), "at least 1"),
        (lambda: RateLimiter(None, None, None, 10), "needs a refill"),
        (lambda: Limiter(["1/s"], state="/nowhere/at/all"), "No such file"),
        (lambda: Limiter(["1/s"], penalty=(5, 0.0, 1.0)), "Write a number above 0"),
        (lambda: Limit.concurrency(1, lease=math.inf), "Write a number above 0"),
    ],
)
def test_what_is_wrong_is_told_with_the_mend(make: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()  # type: ignore[operator]


def test_threads_share_one_quota() -> None:
    limited = Limiter(["5000/hour"], memory=1 << 20)
    admitted = []

    def ask() -> None:
        admitted.append(sum(bool(limited.check("ada")) for _ in range(3000)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 5000


def _ask(path: str, admitted: "multiprocessing.Queue[int]") -> None:
    limited = Limiter(["5000/hour"], memory=1 << 20, state=path)
    admitted.put(sum(bool(limited.check("ada")) for _ in range(3000)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_one_quota(tmp_path: pathlib.Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    admitted: "multiprocessing.Queue[int]" = context.Queue()
    path = str(tmp_path / "state")
    processes = [context.Process(target=_ask, args=(path, admitted)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sum(admitted.get(timeout=60) for _ in processes) == 5000
    for process in processes:
        process.join()
    after = Limiter(["5000/hour"], memory=1 << 20, state=path)
    assert not after.check("ada"), "a restart finds what was counted"


def test_workers_that_fork_off_share_their_parents(tmp_path: pathlib.Path) -> None:
    limited = Limiter(["5000/hour"], memory=1 << 20, state=str(tmp_path / "state"))
    context = multiprocessing.get_context("fork")
    admitted: "multiprocessing.Queue[int]" = context.Queue()

    def ask() -> None:
        admitted.put(sum(bool(limited.check("ada")) for _ in range(3000)))

    processes = [context.Process(target=ask) for _ in range(3)]
    for process in processes:
        process.start()
    assert sum(admitted.get(timeout=60) for _ in processes) == 5000
    for process in processes:
        process.join()


def test_keys_are_any_text() -> None:
    limited = Limiter(["1/hour"], memory=1 << 20)
    for key in ("", "ключ", "a\0b", "x" * 100_000):
        assert limited.check(key) and not limited.check(key)


def test_it_runs_without_a_loop() -> None:
    limited = RateLimiter(per_minute=1, memory=1 << 20)
    assert asyncio.run(limited.is_allowed("ada"))

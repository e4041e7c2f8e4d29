"""RateLimiter: the original's calls, and that its faults do not come back."""

import asyncio
import math
import multiprocessing
import os
import pathlib
import signal
import threading
import time
from typing import Any

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


def test_a_place_is_given_up_once(clock: ManualClock) -> None:
    limited = Limiter([Limit.concurrency(2), "9/minute"], memory=1 << 20, clock=clock)
    first = limited.check("ada")
    assert limited.check("ada")
    limited.release(first)
    limited.release(first)
    assert limited.look("ada")[0][0] == 1, "the other one is still in flight"
    limited.give_back(first)
    limited.give_back(first)
    assert limited.look("ada")[0] == [1, 1], "what it charged comes back once, and nothing else"


def test_what_a_foreign_limiter_ends_goes_on(clock: ManualClock) -> None:
    one, other = (Limiter([Limit.concurrency(1)], memory=1 << 20, clock=clock) for _ in range(2))
    decision = one.check("ada")
    other.release(decision)
    assert not one.check("ada")
    one.release(decision)
    assert one.check("ada")


def test_many_keys_at_once(clock: ManualClock) -> None:
    limited = Limiter(["2/minute"], memory=1 << 20, clock=clock)
    assert limited.check_many(["ada", "bob", "ada", "ada"]) == [True, True, True, False]
    assert limited.check_many([]) == []
    keys = [f"key-{i}" for i in range(1000)]
    assert all(limited.check_many(tuple(keys)))
    assert limited.check_many(f"other-{i}" for i in range(3)) == [True] * 3
    assert limited.check_many(["zoe"], 0) == [True] and limited.peek("zoe").remaining == 2


def test_of_many_keys_none_is_charged_where_one_is_none(clock: ManualClock) -> None:
    limited = RateLimiter(9999, None, None, None, memory=1 << 20, clock=clock)
    with pytest.raises(TypeError, match=r"keys\[300\] is 7\. Write a str"):
        limited.check_many(["ada"] * 300 + [7])  # type: ignore[list-item]
    assert limited.look("ada")[0] == [0] and limited.admitted == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Limiter(["sixty/minute"]), "sixty"),
        (lambda: Limiter([]), "There are no limits"),
        (lambda: Limiter(["1/s"], memory=10), "has no room"),
        (lambda: Limiter(["1/s"], memory=-1), "memory is -1. Write a whole number"),
        (lambda: Limiter([]), r'like Limiter\(\["60/minute"\]\)'),
        (lambda: Limiter(["1/s"], memory=10), "Write at least"),
        (lambda: Limiter(["1/s"], memory=2**62), r"Ask for less \(memory\)"),
        (lambda: Limiter(["1/s", "2/s"]), r'by \.named\("\.\.\."\)'),
        (lambda: Limiter([Limit.burst(5)]), r'Write Limit\.burst\(10, "1/s"\)'),
        (lambda: Limiter(["0/s"]), "Write a quota of at least 1.$"),
        (lambda: Limiter(["1/s"], penalty=(0, 1.0, 1.0)), "or leave penalty out"),
        (lambda: Limiter(["1/s"], state="/tmp", name="a/b"), "Write another name"),
        (lambda: Limiter(["1/s"], state=""), "state is ''. Write the path of a file"),
        (lambda: Limiter(["1/s"]).check("ada", -1), "cost is -1. Write a whole number from 0"),
        (lambda: Limiter(["1/s"]).check("ada", 2**64), "cost is 18446744073709551616. Write"),
        (lambda: Limiter(["1/s"]).check_many(["ada"], -1), "cost is -1"),
        (lambda: Limit.burst(-1), "capacity is -1"),
        (lambda: Limit.parse("\ud800"), "is no limit"),
        (lambda: RateLimiter(per_minute=0), "per_minute is 0. Write a whole number of at least 1"),
        (lambda: RateLimiter(per_day=-3), "per_day is -3. Write"),
        (lambda: RateLimiter(burst_size=0), "burst_size is 0. Write"),
        (lambda: RateLimiter(burst_size=-1), "burst_size is -1. Write"),
        (lambda: RateLimiter(None, None, None, 10), "burst_size comes back at the rate of a limit"),
        (lambda: RateLimiter(None, None, None, None), "There are no limits"),
        (lambda: RateLimitConfig(requests_per_hour=-1), "requests_per_hour is -1. Write"),
        (lambda: RateLimitConfig(exempt_ips={"bogus"}), "exempt_ips: 'bogus' is no address"),
        (lambda: RateLimitConfig(exempt_ips={"10.0.0.1/8"}), r"exempt_ips: .* Write 10\.0\.0\.0/8"),
        (lambda: Limiter(["1/s"], state="/nowhere/at/all"), "No such file"),
        (lambda: Limiter(["1/s"], penalty=(5, 0.0, 1.0)), "Write a number above 0"),
        (lambda: Limit.concurrency(1, lease=math.inf), "Write a number above 0"),
    ],
)
def test_what_is_wrong_is_told_with_the_mend(make: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()  # type: ignore[operator]


_WRONG_TYPES = [
    (lambda: Limiter("10/minute"), r"limits is '10/minute'\. Write a list .* \['10/minute'\]"),
    (lambda: Limiter([7]), r"limits\[0\] is 7\. Write a quota, like '10/minute', or a Limit"),  # type: ignore
    (lambda: Limiter(None), "limits is None. Write a list"),  # type: ignore
    (lambda: Limiter(["1/s"], state=7), "state is 7. Write the path of a file"),  # type: ignore
    (lambda: Limiter(["1/s"], memory="much"), "memory is 'much'. Write a whole number"),  # type: ignore
    (lambda: RateLimiter(per_minute=1.5), "per_minute is 1.5. Write a whole number"),  # type: ignore
    (lambda: RateLimiter(per_hour=True), "per_hour is True. Write a whole number"),
    (lambda: RateLimiter(burst_size="5"), "burst_size is '5'. Write"),  # type: ignore
    (lambda: RateLimitConfig(exempt_ips="10.0.0.1"), "exempt_ips is '10.0.0.1'. Write a list or"),  # type: ignore
    (lambda: RateLimitConfig(exempt_user_ids="bob"), "exempt_user_ids is 'bob'. Write"),  # type: ignore
    (lambda: RateLimitConfig(exempt_user_ids={7}), "exempt_user_ids has 7 in it"),  # type: ignore
]


@pytest.mark.parametrize(("make", "text"), _WRONG_TYPES)
def test_a_wrong_type_is_told_with_the_mend(make: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make()


@pytest.mark.parametrize("call", ["check", "peek", "record_violation", "look", "forget"])
def test_what_is_no_key_is_told(call: str) -> None:
    limited = RateLimiter(memory=1 << 20)
    for key, shown in ((None, "None"), (7, "7"), (b"ada", "b'ada'")):
        with pytest.raises(TypeError, match=f"key is {shown}. Write a str"):
            getattr(limited, call)(key)
    for cost, shown in ((None, "None"), (1.5, "1.5"), ("x", "'x'")):
        with pytest.raises(TypeError, match=f"cost is {shown}. Write a whole number"):
            limited.check("ada", cost)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="keys is 'ada'. Write a list of keys"):
        limited.check_many("ada")


def test_what_is_shown(clock: ManualClock) -> None:
    limited = Limiter(["1/minute"], memory=1 << 20, clock=clock)
    assert repr(limited.check("ada", 2)).endswith("remaining=1, retry_after=None)"), "never"
    assert len({Limit.parse("1/s"), Limit.parse("1/s"), Limit.parse("2/s")}) == 2


def test_a_clock_ends_in_2255() -> None:
    clock = ManualClock(8_000_000_000.0)
    clock.advance(900_000_000)
    with pytest.raises(ValueError, match="Write seconds since 1970"):
        clock.advance(900_000_000)
    assert Limiter(["1/s"], clock=clock).wall_time() == 8_900_000_000.0


def test_a_state_is_a_path_of_any_kind(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    for state in (path, str(path), os.fsencode(path)):
        Limiter(["3/hour"], memory=1 << 20, state=state).check("ada")  # type: ignore[arg-type]
    assert not Limiter(["3/hour"], memory=1 << 20, state=path).check("ada")


def test_other_memory_or_limits_count_apart(tmp_path: pathlib.Path) -> None:
    state = str(tmp_path / "state")
    one = Limiter(["3/hour"], memory=1 << 20, state=state)
    same = Limiter(["3/hour"], memory=1 << 20, state=state)
    memory = Limiter(["3/hour"], memory=1 << 21, state=state)
    limits = Limiter(["3/hour", "9/day"], memory=1 << 20, state=state)
    assert one.check("ada")
    used = [limiter.look("ada")[0][0] for limiter in (one, same, memory, limits)]
    assert used == [1, 1, 0, 0]


def test_what_costs_nothing_is_no_request(clock: ManualClock) -> None:
    limited = limiter(clock)
    limited.peek("ada")
    limited.check("ada", 0)
    limited.check_many(["ada"], 0)
    assert limited.get_stats()["total_requests"] == 0
    limited.check("ada", 5)
    assert limited.get_stats()["total_requests"] == 1


async def test_exempt_addresses_are_compared_as_addresses(clock: ManualClock) -> None:
    limited = limiter(clock, per_minute=1)
    config = RateLimitConfig(exempt_ips={"2001:DB8::1", "::ffff:1.2.3.4", "10.0.0.0/8"})
    for _ in range(2):
        for key in ("2001:db8:0:0::1", "1.2.3.4", "::ffff:10.1.1.1"):
            assert await limited.is_allowed(key, config)
    config.exempt_ips.add("192.0.2.9")
    for _ in range(2):
        assert await limited.is_allowed("192.0.2.9", config), "the set may change"


@pytest.mark.parametrize("call", ["estimate_live", "forget_all"])
def test_who_forks_while_another_thread_counts_leaves_nothing_locked(call: str) -> None:
    """The child had a copy of locks that no thread of its own would open."""
    limited = RateLimiter(10**6, None, None, None)
    keys = [f"key-{i}" for i in range(2000)]
    limited.check_many(keys)
    over = threading.Event()

    def count() -> None:
        while not over.is_set():
            getattr(limited, call)()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(60):
            child = os.fork()
            if child == 0:
                signal.alarm(10)  # A child that waits for ever is killed, and seen below.
                try:
                    os._exit(0 if all(limited.check(key) for key in keys) else 1)
                finally:
                    os._exit(2)
            assert os.waitpid(child, 0)[1] == 0, "a child hung"
    finally:
        over.set()
        thread.join()


def test_others_run_while_a_key_is_waited_for_that_a_stopped_process_holds(
    tmp_path: pathlib.Path,
) -> None:
    def make() -> RateLimiter:
        return RateLimiter(10**6, None, None, None, memory=1 << 20, state=str(tmp_path / "state"))

    limited, parent = make(), os.getpid()
    child = os.fork()
    if child == 0:
        try:
            own = make()
            while os.getppid() == parent:
                own.check_many(["hot"] * 256)
        finally:
            os._exit(1)
    ticks = 0
    over = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not over.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        for _ in range(300):  # Until the child is stopped with the key.
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            before, begin = ticks, time.monotonic()
            allowed = bool(limited.check("hot"))
            ticked, waited = ticks - before, time.monotonic() - begin
            os.kill(child, signal.SIGCONT)
            if not allowed and waited > 0.04:
                assert ticked >= 5, f"the other thread ran {ticked} times in {waited} s"
                break
            time.sleep(0.002)
        else:
            pytest.skip("the child never held the key")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        over.set()
        thread.join()


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
    for key in ("", "ключ", "a\0b", "x" * 100_000, "\ud800", "\udfff", "a\udc80"):
        assert limited.check(key) and not limited.check(key)


def test_it_runs_without_a_loop() -> None:
    limited = RateLimiter(per_minute=1, memory=1 << 20)
    assert asyncio.run(limited.is_allowed("ada"))

"""The storage for ``limits``, under the real strategies."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("limits")

from limits import aio, parse, strategies
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string

import sluicegate
from sluicegate import ManualClock
from sluicegate.limits_storage import MOST_WINDOWS, AsyncSluicegateStorage, SluicegateStorage

STRATEGIES = sorted(set(strategies.STRATEGIES) - {"fixed-window-elastic-expiry"})
YEAR = 360 * 24 * 3600.0
START = 1_796_000_000.0


def storage_of(uri: str = "sluicegate://", **options: Any) -> SluicegateStorage:
    storage = storage_from_string(uri, **options)
    assert isinstance(storage, SluicegateStorage)
    return storage


def limiter_of(strategy: str, uri: str = "sluicegate://", **options: Any) -> Any:
    return strategies.STRATEGIES[strategy](storage_of(uri, **options))


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sluicegate://{tmp_path}/state"


def run(program: str, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(sluicegate.__file__).parents[1])},
    )


# What every strategy promises.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lets_in_as_many_as_the_limit_says_and_tells_what_is_left(strategy: str) -> None:
    limiter, item = limiter_of(strategy), parse("5/hour")
    assert limiter.get_window_stats(item, "ada").remaining == 5
    for left in (3, 1):
        assert limiter.test(item, "ada", cost=2)
        assert limiter.hit(item, "ada", cost=2)
        assert limiter.get_window_stats(item, "ada").remaining == left
    assert not limiter.test(item, "ada", cost=2)
    assert limiter.hit(item, "ada")
    assert not limiter.test(item, "ada")
    assert not limiter.hit(item, "ada")
    stats = limiter.get_window_stats(item, "ada")
    assert stats.remaining == 0
    assert time.time() < stats.reset_time <= time.time() + 3600 * 16 / 15 + 1
    assert limiter.hit(item, "bob")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_limits_of_one_key_are_apart(strategy: str) -> None:
    limiter = limiter_of(strategy)
    minute, hour = parse("1/minute"), parse("2/hour")
    assert limiter.hit(minute, "ada") and limiter.hit(hour, "ada")
    assert not limiter.hit(minute, "ada") and limiter.hit(hour, "ada")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_clear_gives_a_key_its_limit_back_and_no_other(strategy: str) -> None:
    limiter, item = limiter_of(strategy), parse("2/hour")
    for key in ("ada", "bob"):
        assert limiter.hit(item, key, cost=2)
    limiter.clear(item, "ada")
    assert limiter.get_window_stats(item, "ada").remaining == 2
    assert limiter.hit(item, "ada", cost=2)
    assert not limiter.hit(item, "bob")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_reset_gives_all_keys_theirs_and_says_how_many_there_were(strategy: str) -> None:
    limiter, item = limiter_of(strategy), parse("2/hour")
    for key in ("ada", "bob", "eve"):
        assert limiter.hit(item, key, cost=2)
    assert limiter.storage.reset() == 3
    for key in ("ada", "bob", "eve"):
        assert limiter.hit(item, key, cost=2)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(5))
def test_says_the_same_as_the_storage_of_limits_itself(strategy: str, seed: int) -> None:
    """In one window: they differ in when windows begin and end."""
    dice = random.Random(seed)
    items = [parse("7/year"), parse("40/year")]
    ours = limiter_of(strategy)
    kind: Any = strategies.STRATEGIES[strategy]
    theirs = kind(MemoryStorage())
    for _ in range(500):
        item, key, cost = dice.choice(items), dice.choice("abc"), dice.choice((1, 1, 1, 2, 5))
        assert ours.test(item, key, cost=cost) == theirs.test(item, key, cost=cost)
        assert ours.hit(item, key, cost=cost) == theirs.hit(item, key, cost=cost)
        stats = ours.get_window_stats(item, key), theirs.get_window_stats(item, key)
        assert stats[0].remaining == stats[1].remaining


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_threads_get_the_limit_together(strategy: str) -> None:
    limiter, item = limiter_of(strategy), parse("1000/year")
    admitted: list[int] = []

    def hit() -> None:
        admitted.append(sum(limiter.hit(item, "ada") for _ in range(500)))

    threads = [threading.Thread(target=hit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 1000


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scheme", ["memory", "file"])
async def test_the_async_twins(strategy: str, scheme: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/state" if scheme == "file" else ""
    storage: Any = storage_from_string(f"async+sluicegate://{path}")
    assert isinstance(storage, AsyncSluicegateStorage)
    limiter: Any = aio.strategies.STRATEGIES[strategy](storage)
    item = parse("3/hour")
    assert await limiter.test(item, "ada", cost=3)
    assert await limiter.hit(item, "ada", cost=2)
    assert await limiter.hit(item, "ada")
    assert not await limiter.hit(item, "ada")
    assert not await limiter.test(item, "ada")
    stats = await limiter.get_window_stats(item, "ada")
    assert stats.remaining == 0 and stats.reset_time > time.time()
    assert await storage.check()
    assert await storage.reset() == 1
    assert await limiter.hit(item, "ada", cost=3)
    await limiter.clear(item, "ada")
    assert (await limiter.get_window_stats(item, "ada")).remaining == 3


async def test_the_async_counters_by_hand() -> None:
    storage: Any = storage_from_string("async+sluicegate://")
    assert await storage.incr("ada", 60, amount=2) == 2
    assert await storage.get("ada") == 2
    assert 59 < await storage.get_expiry("ada") - time.time() <= 60
    assert await storage.acquire_sliding_window_entry("ada", 2, 60, 2)
    assert (await storage.get_sliding_window("ada", 60))[2] == 2
    assert await storage.acquire_entry("ada", 2, 60, 1)
    assert (await storage.get_moving_window("ada", 2, 60))[1] == 1


# What each one says at which time.


def test_a_fixed_window_begins_with_the_first_hit(clock: ManualClock) -> None:
    limiter, item = limiter_of("fixed-window", clock=clock), parse("2/minute")
    assert limiter.get_window_stats(item, "ada").reset_time == START
    assert limiter.hit(item, "ada")
    clock.advance(59)
    assert limiter.hit(item, "ada") and not limiter.hit(item, "ada")
    assert limiter.get_window_stats(item, "ada").reset_time == START + 60
    clock.advance(1)
    assert limiter.get_window_stats(item, "ada").remaining == 2
    assert limiter.hit(item, "ada", cost=2)
    assert limiter.get_window_stats(item, "ada").reset_time == START + 120


def test_a_count_has_no_cap(clock: ManualClock) -> None:
    storage = storage_of(clock=clock)
    assert storage.incr("ada", 60) == 1
    assert storage.incr("ada", 60, amount=10**12) == 10**12 + 1
    assert storage.get("ada") == 10**12 + 1
    assert storage.incr("bob", 60, amount=0) == 0
    clock.advance(60)
    assert storage.get("ada") == 0


def test_an_elastic_window_lasts_as_long_as_it_is_hit(clock: ManualClock) -> None:
    if "fixed-window-elastic-expiry" not in strategies.STRATEGIES:
        pytest.skip("this version of limits has none")
    limiter, item = limiter_of("fixed-window-elastic-expiry", clock=clock), parse("3/minute")
    for _ in range(3):
        assert limiter.hit(item, "ada")
        clock.advance(59)
    assert not limiter.hit(item, "ada")
    clock.advance(60)
    assert limiter.hit(item, "ada")


def test_a_moving_window_never_has_more_in_any_minute(clock: ManualClock) -> None:
    limiter, item = limiter_of("moving-window", clock=clock), parse("10/minute")
    dice = random.Random(7)
    now, admitted = 0.0, []
    for _ in range(2000):
        step = dice.choice((0.01, 1.0, 7.0))
        clock.advance(step)
        now += step
        if limiter.hit(item, "ada"):
            admitted.append(now)
    assert len(admitted) > 500
    for first, eleventh in zip(admitted, admitted[10:]):
        assert eleventh - first >= 60 - 1e-6


def test_a_moving_windows_reset_is_when_a_unit_is_back(clock: ManualClock) -> None:
    limiter, item = limiter_of("moving-window", clock=clock), parse("2/minute")
    assert limiter.get_window_stats(item, "ada").reset_time == START + 60
    assert limiter.hit(item, "ada")
    clock.advance(30)
    assert limiter.hit(item, "ada") and not limiter.hit(item, "ada")
    wait = limiter.get_window_stats(item, "ada").reset_time - (START + 30)
    assert 30 <= wait <= 34
    clock.advance(wait - 0.001)
    assert not limiter.hit(item, "ada")
    clock.advance(0.002)
    assert limiter.get_window_stats(item, "ada").remaining == 1
    assert limiter.hit(item, "ada") and not limiter.hit(item, "ada")


def test_a_sliding_counter_counts_the_window_before_by_its_share(clock: ManualClock) -> None:
    if "sliding-window-counter" not in strategies.STRATEGIES:
        pytest.skip("this version of limits has none")
    limiter, item = limiter_of("sliding-window-counter", clock=clock), parse("4/minute")
    storage, key = limiter.storage, item.key_for("ada")
    assert storage.get_sliding_window(key, 60) == (0, 0.0, 0, 0.0)
    assert limiter.hit(item, "ada", cost=4)
    clock.advance(45)
    assert storage.get_sliding_window(key, 60) == (0, 0.0, 4, 75.0)
    clock.advance(45)
    assert storage.get_sliding_window(key, 60) == (4, 30.0, 0, 90.0)
    assert limiter.get_window_stats(item, "ada").remaining == 2
    assert not limiter.test(item, "ada", cost=3)
    assert limiter.hit(item, "ada", cost=2) and not limiter.hit(item, "ada")
    clock.advance(120)
    assert storage.get_sliding_window(key, 60) == (0, 0.0, 0, 0.0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_limit_of_nothing_and_a_cost_above_the_limit(strategy: str) -> None:
    limiter = limiter_of(strategy)
    assert not limiter.hit(parse("0/minute"), "ada")
    assert not limiter.test(parse("0/minute"), "ada")
    assert limiter.get_window_stats(parse("0/minute"), "ada").remaining == 0
    assert not limiter.hit(parse("3/minute"), "ada", cost=4)


# What is bounded.


def test_an_offender_of_a_moving_window_outlives_a_flood() -> None:
    limiter, item = limiter_of("moving-window", memory=64 << 10), parse("2/hour")
    assert limiter.hit(item, "offender", cost=2)
    for i in range(20_000):
        limiter.hit(item, f"fresh-{i}")
    assert not limiter.hit(item, "offender")


def test_a_count_outlives_a_flood_of_lower_ones() -> None:
    limiter, item = limiter_of("fixed-window", memory=64 << 10), parse("2/hour")
    assert limiter.hit(item, "offender", cost=2)
    for i in range(20_000):
        limiter.hit(item, f"fresh-{i}")
    assert not limiter.hit(item, "offender")


def test_moving_windows_of_so_many_limits_and_no_more() -> None:
    storage = storage_of(memory=4096, wrap_exceptions=True)
    for limit in range(1, MOST_WINDOWS + 1):
        assert storage.acquire_entry("ada", limit, 60)
    with pytest.raises(StorageError) as raised:
        storage.acquire_entry("ada", 1000, 60)
    assert "1000 per 60 s: this storage has 64 moving windows" in str(raised.value.storage_error)
    assert not storage.acquire_entry("ada", 1, 60), "the others go on"


def test_a_limit_that_the_engine_cannot_count_is_told() -> None:
    with pytest.raises(ValueError, match="4294967295"):
        storage_of().acquire_entry("ada", 2**33, 60)


# Files.

SPEND = """
import sys
from limits import parse, strategies
from limits.storage import storage_from_string
import sluicegate
limiter = strategies.STRATEGIES[sys.argv[2]](storage_from_string(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(sum(limiter.hit(parse("1000/year"), "ada") for _ in range(1500)))
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_on_one_file_count_together(strategy: str, uri: str) -> None:
    processes = [run(SPEND, uri, strategy) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sum(int(process.communicate()[0]) for process in processes) == 1000
    after = limiter_of(strategy, uri)
    assert not after.hit(parse("1000/year"), "ada")
    assert after.hit(parse("1000/year"), "bob")


FORK = """
import os, sys
from limits import parse, strategies
from limits.storage import storage_from_string
import sluicegate
limiter = strategies.STRATEGIES[sys.argv[2]](storage_from_string(sys.argv[1]))
limiter.hit(parse("1000/year"), "ada")
for _ in range(3):
    if os.fork() == 0:
        admitted = sum(limiter.hit(parse("1000/year"), "ada") for _ in range(500))
        os.write(1, b"%d " % admitted)
        os._exit(0)
for _ in range(3):
    os.wait()
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_children_of_a_process_that_had_it_open_count_together(strategy: str, uri: str) -> None:
    """As the workers of ``gunicorn --preload``."""
    said = run(FORK, uri, strategy).communicate()[0].split()
    assert len(said) == 3 and sum(map(int, said)) == 999


@pytest.mark.parametrize("forget", ["clear", "reset"])
def test_what_another_process_counted_is_forgotten_everywhere(uri: str, forget: str) -> None:
    """Also in a moving window that this process never asked for."""
    item = parse("2/hour")
    theirs, mine = storage_of(uri), storage_of(uri)
    moving = strategies.MovingWindowRateLimiter(theirs)
    fixed = strategies.FixedWindowRateLimiter(theirs)
    assert moving.hit(item, "ada", cost=2) and fixed.hit(item, "ada", cost=2)
    if forget == "clear":
        mine.clear(item.key_for("ada"))
    else:
        assert mine.reset() == 2
    assert moving.hit(item, "ada", cost=2) and fixed.hit(item, "ada", cost=2)


def test_names_in_a_file_count_apart(uri: str) -> None:
    item = parse("1/hour")
    for strategy in STRATEGIES:
        assert limiter_of(strategy, uri).hit(item, "ada")
        assert limiter_of(strategy, uri + "?name=other").hit(item, "ada")
        assert not limiter_of(strategy, uri, name="other").hit(item, "ada")
    one = storage_of(uri)
    assert one.reset() == len(STRATEGIES)
    assert not limiter_of("moving-window", uri + "?name=other").hit(item, "ada")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_another_memory_counts_with_those_that_are_there(strategy: str, uri: str) -> None:
    first, item = limiter_of(strategy, uri), parse("5/hour")
    assert first.hit(item, "ada", cost=3)
    program = SPEND.replace("1000/year", "5/hour")
    other = run(program, uri + "?memory=1048576", strategy)
    assert other.communicate("go\n")[0] == "ready\n2\n"
    here = limiter_of(strategy, uri, memory=1 << 20)
    assert not here.hit(item, "ada") and not first.hit(item, "ada")
    assert here.storage._counts.capacity == first.storage._counts.capacity


def test_a_memory_that_nobody_uses_any_more_is_changed(uri: str) -> None:
    item = parse("5/hour")
    assert run(SPEND.replace("1500", "3"), uri, "fixed-window").communicate("go\n")[0]
    after = limiter_of("fixed-window", uri, memory=1 << 20)
    assert after.storage._counts.capacity == 32_760
    assert after.storage.get(parse("1000/year").key_for("ada")) == 3, "and takes over"


@pytest.mark.parametrize("what_then", ["nothing", "another file", "no state file"])
def test_after_the_file_was_moved_clear_and_reset_reach_what_is_open(
    what_then: str, uri: str, tmp_path: Path
) -> None:
    item = parse("2/hour")
    limiter = limiter_of("moving-window", uri)
    fixed = strategies.FixedWindowRateLimiter(limiter.storage)
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    if what_then == "another file":
        assert limiter_of("moving-window", uri).hit(item, "ada", cost=2)
    elif what_then == "no state file":
        (tmp_path / "state").write_text("something else")
    assert fixed.hit(item, "ada", cost=2) and fixed.hit(item, "bob", cost=2)
    fixed.clear(item, "ada")
    assert fixed.hit(item, "ada", cost=2) and not fixed.hit(item, "bob")
    assert limiter.storage.reset() == 2
    assert fixed.hit(item, "bob")


def test_a_file_that_is_cut_is_told_by_check(uri: str, tmp_path: Path) -> None:
    storage = storage_of(uri)
    os.truncate(tmp_path / "state", 100_000)
    assert not storage.check()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_key_that_is_no_utf8_is_one_like_others(strategy: str) -> None:
    limiter, item = limiter_of(strategy), parse("1/hour")
    assert limiter.hit(item, "\udcff") and not limiter.hit(item, "\udcff")
    assert limiter.hit(item, "\udcfe")
    limiter.clear(item, "\udcff")
    assert limiter.hit(item, "\udcff")


def test_a_path_of_bytes(tmp_path: Path) -> None:
    storage_of(f"sluicegate://{tmp_path}/a%FFb")
    assert os.fsencode("a\udcffb") in os.listdir(os.fsencode(tmp_path))


def test_a_file_that_is_taken_away_is_told_by_check(uri: str, tmp_path: Path) -> None:
    storage = storage_of(uri)
    assert storage.check()
    (tmp_path / "state").unlink()
    assert not storage.check()


# Options, and how limits comes to know of it.


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("sluicegate://dev/shm/x", {}, "a third slash. Write sluicegate:///dev/shm/app."),
        ("async+sluicegate://localhost", {}, "Write async.sluicegate:///dev/shm/app."),
        ("sluicegate://?memory=much", {}, "memory=much: write a number of bytes"),
        ("sluicegate://", {"memory": 100}, "no room for one bucket of keys. Write at least 384."),
        ("sluicegate://?fails_open=perhaps", {}, "write true or false"),
        ("sluicegate://?port=1", {"host": "x"}, "host, port: no option of this storage"),
        ("sluicegate://", {"name": "a/b"}, "at most 16 letters, digits"),
        ("sluicegate:///none/such/file", {}, "No such file or directory"),
        ("sluicegate:relative/path", {}, "state is 'relative/path'. Write the path of a file"),
        ("sluicegate:///tmp/a%00b", {}, "Write the path of a file from / on"),
        ("sluicegate:///tmp/a#b", {}, "a # in a path is %23"),
        ("sluicegate://?memory=-1", {}, "memory=-1: write a number of bytes, like 8388608."),
        ("sluicegate://?memory=", {}, "memory=: write a number of bytes"),
        ("sluicegate://?memory=99999999999999999999999999", {}, "write a number of bytes"),
        ("sluicegate://?memory=1125899906842624", {}, "write a number of bytes"),
        ("sluicegate://?memory=65536&memory=1048576", {}, "an option stands there twice"),
        ("sluicegate://?fails_open", {}, "fails_open=: write true or false"),
        ("sluicegate://?name=", {}, "name='': at most 16 letters"),
        ("sluicegate://?clock=1", {}, "clock='1': a ManualClock"),
        ("async+sluicegate://", {"memory": None}, "memory=None: write a number of bytes"),
        ("sluicegate://", {"memory": float("nan")}, "memory=nan: write"),
        ("sluicegate://", {"memory": True}, "memory=True: write"),
        ("sluicegate://", {"name": None}, "name=None: at most"),
        ("sluicegate://", {"fails_open": None}, "fails_open=None: write true or false"),
    ],
)
def test_a_wrong_option_is_told(uri: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        storage_from_string(uri, **options)


def test_options_by_the_uri_and_by_name(tmp_path: Path) -> None:
    uri = f"sluicegate://{tmp_path}/a%20b?memory=65536&fails_open=true"
    storage = storage_of(uri, memory=1 << 20, name="api")
    assert (tmp_path / "a b").exists()
    assert storage._counts.capacity == 32_760, "what is given by name counts"


@pytest.mark.parametrize("imports", ["sluicegate, limits.storage", "limits.storage, sluicegate"])
def test_importing_the_package_is_enough(imports: str) -> None:
    program = f"""
import {imports}
for uri in ("sluicegate://", "async+sluicegate://"):
    print(type(limits.storage.storage_from_string(uri)).__name__)
"""
    said = run(program).communicate()[0].split()
    assert said == ["SluicegateStorage", "AsyncSluicegateStorage"]


def test_a_module_of_the_programs_own_that_is_called_limits_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "limits.py").write_text("raise SystemExit('imported')")
    process = run("import sluicegate, sys; print('limits' in sys.modules)", cwd=tmp_path)
    assert process.communicate()[0] == "False\n"

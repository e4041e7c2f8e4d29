"""Names of limiters in a file, where limiters of one name count together."""

from __future__ import annotations

import os
import threading

from sluicegate._arguments import StatePath

_lock = threading.Lock()
_made: dict[tuple[str, str], int] = {}  # Guarded by the lock.


def name_apart(name: str, state: StatePath | None) -> str:
    """The name of a new limiter that counts apart from all others of this process: the second one
    of a name in a file gets " #2" behind it, the third " #3". The same one in another worker gets
    the same name, as all workers define their limiters in the same order.
    """
    if not isinstance(state, (str, os.PathLike)):
        return name
    place = (os.path.realpath(state), name)
    with _lock:
        count = _made[place] = _made.get(place, 0) + 1
    return name if count == 1 else f"{name} #{count}"

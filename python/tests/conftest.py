"""What the tests of the package share."""

import pytest

from sluicegate import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until it is told, at a round second of 2026."""
    return ManualClock(1_796_000_000.0)

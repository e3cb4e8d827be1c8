"""Which snapshot stands for one that a batch has named."""

from __future__ import annotations

import pytest
from tidemark.lake.snapshots import Step, standing_for

# 1 was written, 2 and 3 are compactions of it, 4 was written by an attempt that died, 5 is a compaction of that.
CHAIN = {
    1: Step(None, "append"),
    2: Step(1, "replace"),
    3: Step(2, "replace"),
    4: Step(3, "overwrite"),
    5: Step(4, "replace"),
}


@pytest.mark.parametrize(
    ("wanted", "current", "expired", "found"),
    [
        (1, 1, {}, 1),
        (1, 3, {}, 3),
        (1, 3, {1}, 3),
        (1, 3, {1, 2}, None),
        (2, 3, {1, 2}, 3),
        (1, 5, {1}, 3),
        (4, 5, {1, 2, 3, 4}, 5),
        (9, 5, {}, None),
        (1, None, {}, None),
    ],
)
def test_compactions_stand_for_what_they_were_made_of(
    wanted: int, current: int | None, expired: set[int], found: int | None
) -> None:
    there = {number: step for number, step in CHAIN.items() if number not in expired}
    assert standing_for(wanted, current, there.get) == found

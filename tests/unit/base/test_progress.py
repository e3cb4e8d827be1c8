"""How far work has come: said once in a while, whoever does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tidemark.base import progress
from tidemark.base.concurrency import concurrently

if TYPE_CHECKING:
    pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, which only the test moves."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_it_is_said_once_in_a_while(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for number in progress.counted("stars", range(10)):
        clock[0] += 0 if number < 4 else 1
    assert caplog.messages == ["stars: table 6 of 10", "stars: table 8 of 10", "stars: table 10 of 10"]
    assert progress.progress_in(f"2026-11-30 22:00:00,123 {caplog.messages[0]}\n") == caplog.messages[0]
    assert progress.progress_in("committed manifest 7") == ""


def test_each_is_counted_once_whoever_does_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0)
    done = concurrently(range(50), str, progress.Progress("mirrors", 50).add_one)
    assert done == [str(number) for number in range(50)]
    assert sorted(caplog.messages) == sorted(f"mirrors: table {number} of 50" for number in range(1, 51))

"""The steps' time limits: parts of the interval between two ticks."""

from __future__ import annotations

from typing import Final

# Of a 15-minute interval; they leave room for start-up retries, the look for markers and the failure report, so that a
# slow step always ends at NotifyFailure and never in a silent time-out of the whole machine.
_SECONDS_OF_15_MINUTES: Final = {"extract": 260, "transform": 280, "load": 170}
MARGIN_SECONDS: Final = 15
_FIXED_SECONDS: Final = 175


def step_seconds(job: str, interval_minutes: int) -> int:
    """Time limit of one job's step."""
    most = _SECONDS_OF_15_MINUTES
    available = interval_minutes * 60 - MARGIN_SECONDS - _FIXED_SECONDS
    return available * most[job] // sum(most.values())

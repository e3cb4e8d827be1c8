"""How long a job may take before it is stopped, and how long a whole execution.

The limits are for what hangs, not for what is slow: they do not depend on the interval between two ticks. A run that
takes longer than that makes the next ticks end at SkippedOverlap, and the freshness alarm tells people; a run that is
stopped has to be done again. Promises: a step that reaches its limit ends at NotifyFailure, never in a silent time-out
of the whole machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DEFAULT_MINUTES: Final = 240
_MAINTAIN_MINUTES: Final = 60
# Start-up retries, the look for markers and the failure report, at their longest.
_BESIDE_THE_JOBS_SECONDS: Final = 300


@dataclass(frozen=True, kw_only=True)
class TimeLimits:
    """Minutes that each job may take."""

    extract: int = _DEFAULT_MINUTES
    transform: int = _DEFAULT_MINUTES
    load: int = _DEFAULT_MINUTES
    maintain: int = _MAINTAIN_MINUTES

    def step_seconds(self, job: str) -> int:
        """Time limit of one job's step."""
        minutes: int = getattr(self, job)
        return minutes * 60

    @property
    def machine_seconds(self) -> int:
        """Time limit of a whole tick: more than its steps can take together."""
        return 60 * (self.extract + self.transform + self.load) + _BESIDE_THE_JOBS_SECONDS

    @property
    def upkeep_seconds(self) -> int:
        """Time limit of a whole maintenance."""
        return 60 * self.maintain + _BESIDE_THE_JOBS_SECONDS


DEFAULT_LIMITS: Final = TimeLimits()

"""A short campaign with a fixed seed; ``make fuzz`` runs long ones, with real kills (docs/guarantees.md)."""

from __future__ import annotations

import os

from tests.fuzz.campaign import Campaign
from tests.integration.conftest import Pipeline

SEED = int(os.environ.get("FUZZ_SEED", "1"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
TICKS = 3


def test_random_work_and_random_faults_leave_no_trace(grown_shop: Pipeline) -> None:
    campaign = Campaign(grown_shop, SEED)
    campaign.run(TICKS, SECONDS)
    print(f"\n{campaign.summary()}")  # noqa: T201 - shown by pytest -s
    assert campaign.scene.published.checked >= 1
    assert campaign.watcher.looks > 0

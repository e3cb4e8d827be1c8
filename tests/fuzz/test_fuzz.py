"""A short campaign with a fixed seed; ``make fuzz`` runs long ones, with real kills (docs/guarantees.md)."""

from __future__ import annotations

import os

from tests.fuzz.campaign import Campaign
from tests.integration.conftest import Pipeline

SEED = int(os.environ.get("FUZZ_SEED", "1"))
TICKS = int(os.environ.get("FUZZ_TICKS", "6"))


def test_random_work_and_random_faults_leave_no_trace(grown_shop: Pipeline) -> None:
    campaign = Campaign(grown_shop, SEED)
    campaign.run(TICKS)
    print(campaign.report())  # noqa: T201 - shown by pytest -s
    assert campaign.published.checked >= 2
    assert campaign.watcher.looks > 0

"""The catalogue of faults follows the code: a fault whose text is not there tests nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS, Fault

TEXTS = [file.read_text(encoding="utf-8") for file in (Path(__file__).parents[2] / "glue_jobs").rglob("*.py")]
TESTS = {file.name for file in Path(__file__).parents[1].rglob("test_*.py")}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.rule)
def test_a_fault_can_be_planted_at_one_place_and_its_tests_be_asked(fault: Fault) -> None:
    assert sum(text.count(fault.old) for text in TEXTS) == 1
    assert TESTS.intersection(fault.tests), "the others are of the tree before"

"""Rows of ``etl_batches``: they come back as they were, whatever the user's tables are called."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import UTC
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.lake.batches import BEFORE_FIRST, COLUMNS, AppliedBatch, Status, TableChange

OWN_WORDS = ("members", "left alone", "status", "new", "skipped", "changes", "quarantine", "batch", "etl_batches")
names = st.sampled_from(OWN_WORDS) | st.text(min_size=1, max_size=8)
numbers = st.integers(0, 2**40)
changes = st.builds(
    TableChange,
    status=st.sampled_from(get_args(Status)),
    new=numbers,
    changed=numbers,
    deleted=numbers,
    rejected=numbers,
    backfilled=numbers,
)
times = st.datetimes(timezones=st.just(UTC))
runs = st.builds(
    AppliedBatch,
    batch=numbers,
    execution=names,
    lake_id=names,
    model_digest=names,
    cut_time=times,
    applied_at=times,
    changes=st.dictionaries(names, changes),
    inferred_members=st.dictionaries(names, numbers),
    quarantined_rows=st.dictionaries(names, numbers),
    open_quarantine=numbers,
    snapshots=st.dictionaries(names, st.none() | numbers),
    columns=st.dictionaries(names, st.dictionaries(names, numbers)),
)


@given(runs)
def test_a_run_comes_back_from_its_row(run: AppliedBatch) -> None:
    row = run.to_row()
    assert list(row) == list(COLUMNS)
    assert AppliedBatch.from_row(row) == run


def test_every_field_is_a_column_and_every_column_a_field() -> None:
    assert [field.name for field in dataclasses.fields(AppliedBatch)] == list(COLUMNS)


def test_a_row_of_another_form_is_refused() -> None:
    row = BEFORE_FIRST.to_row()
    del row["inferred_members"]
    with pytest.raises(KeyError, match="inferred_members"):
        AppliedBatch.from_row(row)
    with pytest.raises(TypeError, match="gone"):
        AppliedBatch.from_row(BEFORE_FIRST.to_row() | {"changes": '{"fact_order": {"gone": 1}}'})


def test_a_change_in_words_and_numbers() -> None:
    change = TableChange(new=3000, changed=1, rejected=2)
    assert change.words == "3,000 new, 1 changed, 2 rejected"
    assert change.counts == {"new": 3000, "changed": 1, "rejected": 2}
    assert change.written == 3001, "what is in quarantine is not written"
    assert TableChange(backfilled=5, deleted=2).written == 7
    assert TableChange().words == ""
    assert TableChange(status="skipped").words.startswith("skipped: ")


def test_changes_of_two_runs_add_up() -> None:
    first, second = TableChange(new=1, deleted=2), TableChange(new=4, backfilled=8)
    assert first + second == TableChange(new=5, deleted=2, backfilled=8)
    skipped = TableChange(status="skipped")
    assert (skipped + first) == first
    assert (first + skipped).status == "refreshed"
    assert skipped + skipped == skipped


def test_the_module_starts_neither_spark_nor_the_lakes_reader() -> None:
    """The load and the command line import it."""
    code = (
        "import sys, tidemark.lake.batches; print([m for m in sys.modules if m.startswith(('pyspark', 'pyiceberg'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"

"""Keys of star tables in DataFrames: one column or several, always by the same names.

Promises: two keys are the same if all their columns are, whatever these are called on either side; as text, different
keys have different texts.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column

_KEY, _WANTED = "_key", "_wanted"


def key_names(key: Sequence[str], prefix: str = _KEY) -> list[str]:
    """Return the names that a key's columns have in frames of decisions: ``_key0``, ``_key1`` …."""
    return [f"{prefix}{index}" for index in range(len(key))]


def as_key(key: Sequence[str], frame: str = "", prefix: str = _KEY) -> list[Column]:
    """Return a key's columns, of the frame with that alias, under the names of :func:`key_names`."""
    pairs = zip(key, key_names(key, prefix), strict=True)
    return [F.col(f"{frame}{names.spark(name)}").alias(alias) for name, alias in pairs]


def lookup_names(key: Sequence[str]) -> list[str]:
    """Return the names under which :func:`matches_lookup` looks for a key's columns."""
    return key_names(key, _WANTED)


def lookup_key(key: Sequence[str]) -> list[Column]:
    """Return a key's columns under names that meet no others in a join: for :func:`matches_lookup`."""
    return as_key(key, prefix=_WANTED)


def matches_lookup(key: Sequence[str]) -> Column:
    """Condition that a row's key equals one given by :func:`lookup_key`."""
    return keys_equal(key, lookup_names(key))


def keys_equal(left: Sequence[str], right: Sequence[str], frames: tuple[str, str] = ("", "")) -> Column:
    """Condition that two keys are equal, column by column."""
    pairs = [
        F.col(f"{frames[0]}{names.spark(one)}") == F.col(f"{frames[1]}{names.spark(other)}")
        for one, other in zip(left, right, strict=True)
    ]
    return reduce(lambda one, other: one & other, pairs)


def key_text(key: Sequence[str]) -> Column:
    """Return a key as text: its one value, or a JSON list of its values."""
    return F.expr(as_text([f"CAST({names.spark(name)} AS string)" for name in key])).alias("key")


def as_text(texts: Sequence[str]) -> str:
    """Return SQL for the same of a key, given SQL for its values as texts."""
    if len(texts) == 1:
        return f"coalesce({texts[0]}, 'NULL')"
    return f"to_json(array({', '.join(texts)}))"

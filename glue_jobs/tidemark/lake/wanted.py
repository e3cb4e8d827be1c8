"""What is looked for in a table: keys, and ranges of keys.

Promises: :meth:`Wanted.mask` is true for every row that is wanted. It may be true for others, whose keys are made of
the same values in another combination.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.landing.manifest import KeyList


class Wanted:
    """Rows with one of some keys, or whose key's first column is in one of some ranges.

    Parameters
    ----------
    keys
        The keys: one column for each of theirs, in the table's names and types.
    ranges
        Ranges of a manifest; those without groups are all there are.
    """

    def __init__(self, keys: pa.Table, ranges: KeyList | None = None) -> None:
        self.key: Sequence[str] = keys.column_names
        self._keys, self._ranges = keys, ranges
        self._everything = ranges is not None and ranges.groups is None

    @property
    def can_be_found(self) -> bool:
        """Whether the keys tell rows apart by equality: floating numbers, whose NaN and minus zero differ, do not."""
        return not self._everything and bool(self._exact)

    @functools.cached_property
    def values(self) -> Sequence[int | str] | None:
        """All values of the first column, if files can be skipped by them."""
        first = self._keys.column(0)
        texts = pa.types.is_string(first.type) or pa.types.is_large_string(first.type)
        if self._ranges is not None or not (pa.types.is_integer(first.type) or texts):
            return None
        return self._first or None

    def mask(self, rows: pa.Table) -> pa.ChunkedArray:
        """Return for each row, of which the key's columns are given, whether it may be wanted."""
        equal = (_is_one_of(rows.column(name), self._keys.column(name)) for name in self._exact)
        found = functools.reduce(pc.and_, equal)
        if self._ranges is None:
            return found
        groups = pc.shift_right(rows.column(self.key[0]).cast(pa.int64()), self._ranges.shift)
        return pc.or_(found, _is_one_of(groups, pa.chunked_array([list(self._ranges.groups or ())], pa.int64())))

    def may_be_between(self, least: int, most: int) -> bool:
        """Whether a row whose key's first column is in that range, both ends included, may be wanted."""
        if not pa.types.is_integer(self._keys.column(0).type):
            return True
        shift = self._ranges.shift if self._ranges is not None else 0
        return _meets(self._first, least, most) or _meets(self._groups, least >> shift, most >> shift)

    @functools.cached_property
    def _exact(self) -> Sequence[str]:
        return [name for name in self.key if not pa.types.is_floating(self._keys.column(name).type)]

    @functools.cached_property
    def _first(self) -> Sequence[Any]:
        return sorted({value for value in self._keys.column(0).to_pylist() if value is not None})

    @functools.cached_property
    def _groups(self) -> Sequence[int]:
        return sorted(self._ranges.groups or ()) if self._ranges is not None else ()


def _is_one_of(values: pa.ChunkedArray, listed: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=listed.combine_chunks(), skip_nulls=True)


def _meets(listed: Sequence[int], least: int, most: int) -> bool:
    """Whether one of some numbers, in order, is in a range."""
    at = bisect_left(listed, least)
    return at < len(listed) and listed[at] <= most

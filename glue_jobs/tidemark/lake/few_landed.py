"""Few landed rows brought into a mirror by Arrow: :func:`tidemark.lake.mirror.apply` without a Spark job.

Promises: the same rows are written and counted as by Spark. A small mirror is read whole; of a large one, what may
have the keys that were landed, or may be gone. Where that does not fit in memory, all is left as it is, and to Spark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemark.lake import few_rows
from tidemark.lake.changeset import few_keys
from tidemark.lake.data_file import conform
from tidemark.lake.lookup import look_up, read_small
from tidemark.lake.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import KeyList, TableEntry

BATCH = "_batch"
_Positions = list[int]


@dataclass(frozen=True, kw_only=True)
class FewChange:
    """What became of a mirror: how many rows, their keys if these are one column's and few, and those written."""

    written: int
    deleted: int
    keys: list[Any] | None
    rows: pa.Table


def apply(
    lake: Lake, target: str, entry: TableEntry, landed: pa.Table | None, alive: pa.Table | None, batch: int
) -> FewChange | None:
    """Bring a mirror to a manifest's cut, as at most one commit; None if that is Spark's work, and nothing was done.

    Parameters
    ----------
    target
        Quoted name of the mirror.
    landed
        The rows that were landed, if any were.
    alive
        The keys that were listed, if any were.
    """
    table = lake.iceberg(target)
    schema, columns = table.schema, landed.column_names if landed is not None else []
    given = conform(landed if landed is not None else schema.empty_table(), schema)
    read = read_small(table)
    if read is None and entry.mode == "delta":
        read = look_up(table, Wanted(given.select(list(entry.key)), entry.keys))
    if read is None:
        return None
    written, gone = changes(read.rows, given, columns, alive, entry)
    batches = pa.repeat(batch, written.num_rows)
    written = written.set_column(schema.get_field_index(BATCH), schema.field(BATCH), batches)
    both = pa.concat_tables([written, gone])
    if both.num_rows:
        is_gone = [False] * written.num_rows + [True] * gone.num_rows
        few_rows.merge(table, read, both, entry.key, {*columns, BATCH}, is_gone)
    keys = few_keys(both.column(entry.key[0])) if len(entry.key) == 1 else None
    return FewChange(written=written.num_rows, deleted=gone.num_rows, keys=keys, rows=written)


def changes(
    current: pa.Table, given: pa.Table, columns: Sequence[str], alive: pa.Table | None, entry: TableEntry
) -> tuple[pa.Table, pa.Table]:
    """Return the given rows that a mirror does not hold as they are, and its rows that are gone.

    Parameters
    ----------
    current, given
        Rows of the mirror (at least those with a landed key, and those that may be gone), and the landed ones; in the
        mirror's columns and types.
    columns
        The columns that were landed.
    alive
        The listed keys; None if there are none of them.
    """
    here = {key: at for at, key in enumerate(few_rows.keys_of(current, entry.key))}
    new, changed = _to_write(given, current, here, entry.key, columns)
    gone = _gone(current, entry, given, alive)
    return given.take(pa.array(new + changed, pa.int64())), current.take(pa.array(gone, pa.int64()))


def _to_write(
    given: pa.Table, current: pa.Table, here: Mapping[Any, int], key: Sequence[str], columns: Sequence[str]
) -> tuple[_Positions, _Positions]:
    """Return the positions of the given rows that are new, and of those that differ in one of the columns."""
    new, both = [], []
    for at, value in enumerate(few_rows.keys_of(given, key)):
        if value in here and None not in value:
            both.append((at, here[value]))
        else:
            new.append(at)
    if not both:
        return new, []
    ours = given.take(pa.array([at for at, _ in both], pa.int64()))
    theirs = current.take(pa.array([at for _, at in both], pa.int64()))
    differs = reduce(pc.or_, (_differs(ours.column(name), theirs.column(name)) for name in columns))
    return new, [at for (at, _), other in zip(both, differs.to_pylist(), strict=True) if other]


def _differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether values differ, as Spark's ``<=>`` has it: NULL and NaN are themselves, minus zero is zero."""
    same = pc.equal(one, other)
    if pa.types.is_floating(one.type):
        same = pc.or_kleene(same, pc.and_kleene(pc.is_nan(one), pc.is_nan(other)))
    return pc.invert(pc.fill_null(pc.if_else(pc.is_null(one), pc.is_null(other), same), fill_value=False))


def _gone(current: pa.Table, entry: TableEntry, given: pa.Table, alive: pa.Table | None) -> _Positions:
    """Return the positions of rows whose key is not there any more, as far as the manifest says so."""
    if entry.keys is None and entry.mode != "full":
        return []
    if entry.keys is None:
        alive = given
    there: set[tuple[Any, ...]] = set()
    if alive is not None:
        listed = conform(alive.select(list(entry.key)), current.select(list(entry.key)).schema)
        there.update(few_rows.keys_of(listed, entry.key))
    found = enumerate(few_rows.keys_of(current, entry.key))
    return [at for at, key in found if key not in there and _is_suspect(key[0], entry.keys)]


def _is_suspect(value: Any, keys: KeyList | None) -> bool:
    return keys is None or keys.groups is None or value >> keys.shift in keys.groups

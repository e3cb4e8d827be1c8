"""Source mirrors: the lake's copy of every source table, brought from one cut to the next.

Promises: after :func:`apply`, the mirror holds exactly the rows of the manifest's cut, ``_batch`` says which batch last
changed each; rows whose contents are equal are not written, so applying a manifest again changes nothing. Mirrors
follow from the manifests alone, whatever model they are applied under: what was landed need not be landed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import few_landed, keys, merge
from tidemark.lake.changeset import compute
from tidemark.landing import files as landing_format
from tidemark.model.added_columns import MIRROR_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column

    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import KeyList, Manifest, TableEntry
    from tidemark.model.definition import SourceTable


@dataclass(frozen=True)
class MirrorChange:
    """Rows that a manifest wrote to and removed from a mirror, and their keys if they are one column's and few.

    ``rows`` are those that were written, as they stand in the mirror now, where they need not be looked for there;
    ``made_of``: all that the mirror holds, if the manifest has made it. An attempt that finds the mirror as the
    manifest wants it (it was killed after that commit) knows none of them.
    """

    written: int
    deleted: int
    keys: list[Any] | None = None
    rows: DataFrame | None = None
    made_of: DataFrame | None = None


def ensure(lake: Lake, name: str, manifest: Manifest, first: pa.Table | None = None) -> None:
    """Create or evolve a mirror to :func:`columns_of` it. If a type changes incompatibly, the mirror is recreated.

    One that is not there is made with its ``first`` rows, if these are given.
    """
    declared, entry = lake.model.tables.get(name), manifest.tables.get(name)
    wanted = columns_of(declared, entry, of_this_model=manifest.model_digest == lake.model.digest)
    mirror, key = lake.mirror(name), entry.key if entry else declared.key if declared else ()
    if entry and entry.mode == "full":  # without rows, nothing is known of any column
        lake.drop_unless_it_fits(mirror, wanted, key)
        lake.drop_columns_but(mirror, {*wanted, *key, *(column.name for column in MIRROR_COLUMNS)})
    if declared and not lake.exists(mirror):
        wanted = {column: declared.column(column).type.spark for column in declared.key} | wanted
    if wanted:
        lake.ensure_mirror(name, wanted, key, first)


def columns_of(declared: SourceTable | None, entry: TableEntry | None, *, of_this_model: bool) -> dict[str, str]:
    """Return the columns that a mirror gets because of a manifest, name -> Spark type, as wide as they were landed.

    A column of the model that no manifest has landed yet (this one is older than the model) is not among them: so the
    star knows that nothing is known of it.

    Parameters
    ----------
    declared, entry
        The table in the model and in the manifest, as far as they have it.
    of_this_model
        Whether the manifest is the model's own: then all columns were landed, now or before, or there are no rows.
    """
    modelled = {column.name: column.type.spark for column in declared.columns} if declared and of_this_model else {}
    return modelled | (entry.columns if entry else {})


def apply(lake: Lake, name: str, manifest: Manifest) -> MirrorChange:
    """Bring one mirror to the manifest's cut, as at most one commit."""
    entry, target = manifest.tables[name], lake.mirror(name)
    first = None if lake.exists(target) else _few(entry, manifest.batch)
    ensure(lake, name, manifest, first)
    if first is not None:
        schema = names.spark_columns({**entry.columns, few_landed.BATCH: "bigint"})
        return MirrorChange(entry.rows, 0, made_of=lake.hold(first, schema))
    if not lake.exists(target) or lake.is_empty(target):
        if entry.files and entry.rows:
            _fill(lake, target, entry, manifest)
        return MirrorChange(entry.rows if entry.files else 0, 0)
    return _apply_few(lake, target, entry, manifest.batch) or _apply(lake, target, entry, manifest)


def _apply_few(lake: Lake, target: str, entry: TableEntry, batch: int) -> MirrorChange | None:
    """Do it without a Spark job, if few rows were landed and the mirror is small."""
    listed = entry.keys.files if entry.keys else ()
    landed, alive = landing_format.few_rows(entry.files), landing_format.few_rows(listed)
    if (entry.files and landed is None) or (listed and alive is None):
        return None
    if landed is not None:
        landed = landed.select(list(entry.columns))
    done = few_landed.apply(lake, target, entry, landed, alive, batch)
    if done is None:
        return None
    # After a full read, stars are evaluated as a whole: nobody asks for the rows.
    knows_all = landed is not None and {*landed.column_names, few_landed.BATCH} == set(done.rows.column_names)
    rows = None
    if done.written and entry.mode == "delta" and knows_all:
        rows = lake.spark.createDataFrame(done.rows, lake.spark.table(target).schema)
    return MirrorChange(done.written, done.deleted, done.keys, rows)


def _apply(lake: Lake, target: str, entry: TableEntry, manifest: Manifest) -> MirrorChange:
    lake.expect(entry.count)
    landed = landed_rows(lake, entry, manifest.landing_format)
    current = lake.spark.table(target)
    changes, found = compute(_changes(lake, entry.key, entry, landed, current, manifest), "_op", entry.key, {})
    changes = found.packed(changes)
    inserted, updated, deleted = (found.counts.get(kind, 0) for kind in ("insert", "update", "delete"))
    if updated or deleted:
        written = [name for name in changes.columns if name != "_op"]
        few = found.in_hand(changes)
        merge.merge_into(lake, target, changes, entry.key, written, few=few, prune=found.keys, kind="_op")
    elif inserted:
        inserts = changes.drop("_op")
        lake.append(inserts, target, few=found.in_hand(inserts))
    # After a full read, stars are evaluated as a whole: nobody asks for the rows, which may be millions.
    rows = _written_rows(changes, current) if entry.mode == "delta" and inserted + updated else None
    return MirrorChange(inserted + updated, deleted, found.keys, rows)


def _fill(lake: Lake, target: str, entry: TableEntry, manifest: Manifest) -> None:
    """Write what was landed to a mirror that never had data."""
    few = _few(entry, manifest.batch)
    if few is not None:
        lake.append_rows(few, target)
        return
    landed = landing_format.read(lake.spark, entry.files, entry.columns, manifest.landing_format)
    lake.append(landed.withColumn("_batch", F.lit(manifest.batch).cast("bigint")), target)


def _few(entry: TableEntry, batch: int) -> pa.Table | None:
    """Return what was landed as a mirror has it, if these are few rows in a file."""
    few = landing_format.few_rows(entry.files)
    if few is None or not few.num_rows:
        return None
    return few.select(list(entry.columns)).append_column("_batch", pa.repeat(batch, few.num_rows))


def contents(lake: Lake, name: str, change: MirrorChange | None) -> DataFrame:
    """Return all rows of a mirror; ``change`` is what this attempt did."""
    if change is not None and change.made_of is not None:
        return change.made_of
    return lake.spark.table(lake.mirror(name))


def changed_rows(lake: Lake, name: str, batch: int, change: MirrorChange | None) -> DataFrame:
    """Return the rows of a mirror that a batch changed, as it holds them; ``change`` is what this attempt did."""
    if change is not None and change.rows is not None:
        return change.rows
    return lake.spark.table(lake.mirror(name)).where(F.col("_batch") == batch)


def _written_rows(changes: DataFrame, mirror: DataFrame) -> DataFrame | None:
    """Return the rows that are written because of ``changes``; None if the mirror holds more of them than these say."""
    kinds, own = dict(changes.dtypes), dict(mirror.dtypes)
    if set(own) - set(kinds):
        return None
    whole = (F.col(names.spark(name)).cast(own[name]).alias(name) for name in mirror.columns)
    return changes.where(F.col("_op") != "delete").select(*whole)


def landed_rows(lake: Lake, entry: TableEntry, file_format: str) -> DataFrame | None:
    """Return the rows that a manifest landed for one table, or None if it landed none."""
    return landing_format.read(lake.spark, entry.files, entry.columns, file_format) if entry.files else None


def _changes(
    lake: Lake, key: Sequence[str], entry: TableEntry, landed: DataFrame | None, current: DataFrame, manifest: Manifest
) -> DataFrame:
    """Rows to write and keys to delete: the mirror's columns and ``_op``."""
    columns = [name for name in current.columns if name != "_batch"]
    parts = []
    if landed is not None:
        parts.append(
            _written(lake, landed, current, key, entry.mode == "delta").withColumn(
                "_batch", F.lit(manifest.batch).cast("bigint")
            )
        )
    alive = _alive(lake, key, entry, landed, current, manifest.landing_format)
    if alive is not None:
        suspects = current if entry.keys is None else current.where(within(key[0], entry.keys))
        gone = suspects.join(alive, list(key), "left_anti")
        shape = landed.columns if landed is not None else columns
        batch = F.lit(manifest.batch).cast("bigint").alias("_batch")
        parts.append(gone.select(*map(names.spark, shape), F.lit("delete").alias("_op"), batch))
    return reduce(DataFrame.unionByName, parts)


def _written(lake: Lake, landed: DataFrame, current: DataFrame, key: Sequence[str], small: bool) -> DataFrame:
    """Landed rows that are new here or differ, with ``_op``; a small delta is never shuffled against a large mirror."""
    whole = names.spark_struct(name for name in landed.columns if name in current.columns)
    before = current
    if small:
        before = current.join(F.broadcast(landed.select(*map(names.spark, key))), list(key), "left_semi")
    old = before.select(*keys.lookup_key(key), F.expr(f"{whole} AS _old"))
    joined = landed.join(lake.beside(old) if small else old, keys.matches_lookup(key), "left")
    op = F.expr(f"CASE WHEN _old IS NULL THEN 'insert' WHEN NOT {whole} <=> _old THEN 'update' END AS _op")
    return joined.select(*map(names.spark, landed.columns), op).where("_op IS NOT NULL")


def _alive(
    lake: Lake,
    key: Sequence[str],
    entry: TableEntry,
    landed: DataFrame | None,
    current: DataFrame,
    file_format: str,
) -> DataFrame | None:
    """Keys that exist at the cut (in the listed ranges), or None if no key can have gone."""
    quoted = list(map(names.spark, key))
    if entry.keys is not None:
        if not entry.keys.files:
            return current.select(*quoted).limit(0)
        here = dict(current.dtypes)  # as wide as the source's, which may be wider than the model's
        kinds = {name: here[name] for name in key}
        return landing_format.read(lake.spark, entry.keys.files, kinds, file_format)
    if entry.mode == "full":
        if landed is None:
            return current.select(*quoted).limit(0)
        return landed.select(*quoted)
    return None


def within(column: str, keys: KeyList) -> Column:
    """Condition true for keys of the listed ranges (without ranges: always), with which Iceberg can skip files."""
    if keys.groups is None:
        return F.lit(True)
    key = F.col(names.spark(column))
    ranges = [key.between(group << keys.shift, ((group + 1) << keys.shift) - 1) for group in keys.groups]
    return reduce(lambda one, other: one | other, ranges)

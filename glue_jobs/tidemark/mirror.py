"""Source mirrors: the lake's copy of every source table, brought from one cut to the next.

Promises: after :func:`apply`, the mirror holds exactly the rows of the manifest's cut, ``_seq`` says which run last
changed each; rows whose contents are equal are not written, so applying a manifest again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark import landing_format, names
from tidemark.lake import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from tidemark.lake import Lake
    from tidemark.landing import KeyList, Manifest, TableEntry
    from tidemark.model import SourceTable


@dataclass(frozen=True)
class MirrorChange:
    """Rows that a manifest wrote to and removed from a mirror."""

    written: int
    deleted: int


def apply(lake: Lake, table: SourceTable, manifest: Manifest) -> MirrorChange:
    """Bring one mirror to the manifest's cut, as at most one commit."""
    entry = manifest.tables[table.name]
    columns = entry.columns or {column.name: column.type.spark for column in table.columns}
    target = lake.ensure_mirror(table.name, columns)
    if not entry.changed:
        return MirrorChange(0, 0)
    landed = landed_rows(lake, entry, manifest.landing_format)
    if lake.is_empty(target):
        if landed is None or not entry.rows:
            return MirrorChange(0, 0)
        lake.append(landed.withColumn("_seq", F.lit(manifest.seq).cast("bigint")), target)
        return MirrorChange(entry.rows, 0)
    current = lake.spark.table(target)
    changes = settle(_changes(lake, table, entry, landed, current, manifest))
    counts = {row["_op"]: row["count"] for row in changes.groupBy("_op").count().collect()}
    if counts:
        _merge(lake, table, target, changes, [*columns, "_seq"])
    return MirrorChange(counts.get("write", 0), counts.get("delete", 0))


def landed_rows(lake: Lake, entry: TableEntry, file_format: str) -> DataFrame | None:
    """Return the rows that a manifest landed for one table, or None if it landed none."""
    if not entry.files:
        return None
    return landing_format.read(lake.spark, entry.files, entry.columns, file_format)


def same_key(left: str, right: str, key: Sequence[str]) -> str:
    """Join condition on a key, for SQL."""
    return " AND ".join(f"{left}.{names.spark(name)} = {right}.{names.spark(name)}" for name in key)


def _changes(
    lake: Lake, table: SourceTable, entry: TableEntry, landed: DataFrame | None, current: DataFrame, manifest: Manifest
) -> DataFrame:
    """Rows to write and keys to delete: the mirror's columns and ``_op``."""
    key, columns = list(table.key), [name for name in current.columns if name != "_seq"]
    seq = F.lit(manifest.seq).cast("bigint").alias("_seq")
    parts = []
    if landed is not None:
        have = [name for name in columns if name in landed.columns]
        mine = F.struct(*(F.col(f"m.{names.spark(name)}") for name in have))
        theirs = F.struct(*(F.col(f"l.{names.spark(name)}") for name in have))
        joined = F.broadcast(landed).alias("l") if entry.mode == "delta" else landed.alias("l")
        differs = current.alias("m").join(joined, _on(key), "right").where(~mine.eqNullSafe(theirs))
        parts.append(differs.select("l.*", seq, F.lit("write").alias("_op")))
    alive = _alive(lake, table, entry, landed, manifest.landing_format)
    if alive is not None:
        suspects = current if entry.keys is None else current.where(_within(table, entry.keys))
        gone = suspects.join(alive, key, "left_anti")
        shape = landed.columns if landed is not None else columns
        parts.append(gone.select(*map(names.spark, shape), seq, F.lit("delete").alias("_op")))
    result = parts[0]
    for part in parts[1:]:
        result = result.unionByName(part)
    return result


def _on(key: Sequence[str]) -> list[Column]:
    return [F.col(f"m.{names.spark(name)}") == F.col(f"l.{names.spark(name)}") for name in key]


def _alive(
    lake: Lake, table: SourceTable, entry: TableEntry, landed: DataFrame | None, file_format: str
) -> DataFrame | None:
    """Keys that exist at the cut (in the listed ranges), or None if no key can have gone."""
    key = list(map(names.spark, table.key))
    if entry.keys is not None:
        kinds = {name: table.column(name).type.spark for name in table.key}
        kinds |= {name: kind for name, kind in entry.columns.items() if name in kinds}
        if not entry.keys.files:
            return lake.spark.createDataFrame([], ", ".join(f"{names.spark(name)} {kind}" for name, kind in kinds.items()))
        return landing_format.read(lake.spark, entry.keys.files, kinds, file_format)
    if entry.mode == "full":
        if landed is None:
            return lake.spark.table(lake.mirror(table.name)).select(*key).limit(0)
        return landed.select(*key)
    return None


def _within(table: SourceTable, keys: KeyList) -> Column:
    if keys.groups is None:
        return F.lit(True)
    return F.shiftright(F.col(names.spark(str(table.integer_key))).cast("bigint"), keys.shift).isin(list(keys.groups))


def _merge(lake: Lake, table: SourceTable, target: str, changes: DataFrame, columns: Sequence[str]) -> None:
    view = f"_changes_{table.name}"
    changes.createOrReplaceTempView(names.spark(view))
    quoted = [names.spark(name) for name in columns]
    lake.spark.sql(
        f"MERGE INTO {target} t USING {names.spark(view)} s ON {same_key('t', 's', table.key)} "  # noqa: S608
        "WHEN MATCHED AND s._op = 'delete' THEN DELETE "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f't.{name} = s.{name}' for name in quoted)} "
        f"WHEN NOT MATCHED AND s._op = 'write' THEN INSERT ({', '.join(quoted)}) "
        f"VALUES ({', '.join(f's.{name}' for name in quoted)})"
    )

"""Scope of a star table's evaluation: over which rows of its inputs its SQL has to run for a manifest.

Promises: what the manifest may have changed is in it. Usually only the driver's rows that it changed (mirror rows with
its ``_batch``) are evaluated, and keys of the star that are no longer there if keys can have gone. Everything is where
another input changed, the driver was read in full, the table is empty, the model is new, or the SQL combines
several driver rows or gives some of them no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import keys, mirror
from tidemark.lake.changeset import FEW_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from tidemark.lake.mirror import MirrorChange
    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import KeyList, Manifest
    from tidemark.model.definition import Dimension, Fact, StarTable


@dataclass(frozen=True)
class Scope:
    """What to evaluate: everything or the changed driver rows; whether keys can have gone, and in which ranges.

    ``changed_keys`` holds the changed keys themselves, if they are few; ``gone_among_them``: those that are gone, too.
    ``empty``: the star table never had rows.
    """

    everything: bool
    may_have_deletes: bool
    changed_keys: list[Any] | None = None
    ranges: KeyList | None = None
    gone_among_them: bool = False
    empty: bool = False

    @property
    def plain_keys(self) -> list[int | str] | None:
        """The changed keys, if they are few, and integers or texts."""
        keys = self.changed_keys
        return keys if keys is not None and all(isinstance(value, int | str) for value in keys) else None

    def prune(self, frame: DataFrame, key: Sequence[str]) -> DataFrame:
        """Narrow a star table to the keys in scope, if they are few: files that hold none of them are not opened."""
        if self.changed_keys is None:
            return frame
        column = names.spark(key[0])
        if (keys := self.plain_keys) is not None:
            # As one text: each value of a list is a call of Java or two.
            return frame.where(names.spark_in(column, keys))
        return frame.where(F.col(column).isin(self.changed_keys))


EVERYTHING = Scope(everything=True, may_have_deletes=True)
FIRST = Scope(everything=True, may_have_deletes=False, empty=True)


def scope_of(lake: Lake, table: StarTable, manifest: Manifest, mirrored: Mapping[str, MirrorChange]) -> Scope:
    """Return what a manifest asks for, of a table that is filled and whose SQL takes the driver's rows one by one."""
    driver = manifest.tables[table.driver]
    if driver.mode == "full" or any(manifest.changed(name) for name in table.joins):
        return EVERYTHING
    changed_keys = _changed_keys(lake, table, manifest, mirrored)
    return Scope(
        everything=False,
        may_have_deletes=driver.keys is not None or table.filtered,
        changed_keys=changed_keys,
        ranges=driver.keys,
        gone_among_them=changed_keys is not None and changed_keys is _keys_of(mirrored.get(table.driver)),
    )


def rows_in_scope(lake: Lake, table: Dimension | Fact, rows: DataFrame, scope: Scope) -> DataFrame:
    """Return at least the rows of a star table whose key is in scope; few keys are looked up without a Spark job.

    Parameters
    ----------
    rows
        The evaluated rows.
    """
    target, here = lake.star(table.name), lake.star_rows(table)
    if scope.empty:  # of what cannot hold rows, Spark leaves out joins and shuffles; of an empty list it does not know
        return here.limit(0)
    if scope.everything:
        return here
    if (values := scope.plain_keys) is not None:
        found = lake.look_up(target, table.key[0], values)
        if found is not None:
            return lake.spark.createDataFrame(found, here.schema)
    if scope.gone_among_them:  # of what is gone there are no evaluated rows
        return scope.prune(here, table.key)
    changed = F.broadcast(rows.select(*keys.lookup_key(table.key)))
    return scope.prune(here, table.key).join(changed, keys.matches_lookup(table.key), "left_semi")


def _expect_inputs(lake: Lake, table: StarTable, manifest: Manifest, scope: Scope) -> None:
    """Prepare for queries over the inputs that are read whole."""
    driver = {table.driver} if not scope.everything and scope.changed_keys is not None else set()
    whole = [manifest.tables[name].count for name in table.inputs if name in manifest.tables and name not in driver]
    lake.expect(max(whole, default=0))


def _keys_of(change: MirrorChange | None) -> list[Any] | None:
    """Return all keys that a mirror got, changed and lost just now, if they are known."""
    return change.keys if change is not None else None


def _changed_keys(
    lake: Lake, table: StarTable, manifest: Manifest, mirrored: Mapping[str, MirrorChange]
) -> list[Any] | None:
    """Keys of at least all driver rows that the manifest changed, if they are few and of one column of one type."""
    here = dict(lake.spark.table(lake.mirror(table.driver)).dtypes)
    if len(table.from_key) > 1 or here[table.from_key[0]] != table.column(table.key[0]).type.spark:
        return None
    change = mirrored.get(table.driver)
    if (known := _keys_of(change)) is not None:
        return known
    changed = mirror.changed_rows(lake, table.driver, manifest.batch, change)
    found = [row[0] for row in changed.select(names.spark(table.from_key[0])).limit(FEW_KEYS + 1).collect()]
    return found if len(found) <= FEW_KEYS else None


def read_inputs(lake: Lake, table: StarTable, mirrored: Mapping[str, MirrorChange]) -> dict[str, DataFrame]:
    """Return the mirrors of a star table's inputs in the model's columns; what was never landed is NULL.

    Those that were ``mirrored`` just now, of rows that are in hand, are not read.
    """
    frames = {name: mirror.contents(lake, name, mirrored.get(name)) for name in table.inputs}
    return {name: _as_modelled(lake, name, frame) for name, frame in frames.items()}


def restrict_inputs(
    lake: Lake,
    table: StarTable,
    manifest: Manifest,
    mirrored: Mapping[str, MirrorChange],
    scope: Scope,
    inputs: Mapping[str, DataFrame],
) -> Mapping[str, DataFrame]:
    """Narrow a star table's inputs (of :func:`read_inputs`) to what is in scope, and prepare for a query over them."""
    _expect_inputs(lake, table, manifest, scope)
    if scope.everything:
        return inputs
    driver = table.driver
    changed = mirror.changed_rows(lake, driver, manifest.batch, mirrored.get(driver))
    return {**inputs, driver: _as_modelled(lake, driver, changed)}


def _as_modelled(lake: Lake, name: str, rows: DataFrame) -> DataFrame:
    """Return rows of a mirror in the columns that the model has; NULL in those that the mirror does not have."""
    here = set(rows.columns)
    listed = ((names.spark(column.name), column) for column in lake.model.tables[name].columns)
    return rows.selectExpr(
        *(
            quoted if column.name in here else f"CAST(NULL AS {column.type.spark}) AS {quoted}"
            for quoted, column in listed
        )
    )


def not_landed(lake: Lake, table: StarTable, manifest: Manifest) -> frozenset[str]:
    """Return the input columns (``table.column``; a table: its rows) that are not known: the manifest is too old."""
    if manifest.model_digest == lake.model.digest:
        return frozenset()
    result: set[str] = set()
    for name in table.inputs:
        entry = manifest.tables.get(name)
        if entry is None or entry.count:
            here = lake.spark.table(lake.mirror(name)).columns if entry else []
            result |= {f"{name}.{c.name}" for c in lake.model.tables[name].columns if c.name not in here}
        if entry is None:
            result.add(name)
    return frozenset(result)

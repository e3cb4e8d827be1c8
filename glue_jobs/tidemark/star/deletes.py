"""Keys that left the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark.lake import keys
from tidemark.lake.mirror import within
from tidemark.model.added_columns import present_rows
from tidemark.model.definition import Dimension, Fact
from tidemark.star import contract
from tidemark.star.scope import Scope

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import Manifest


def lost_rows(
    lake: Lake, table: Dimension | Fact, manifest: Manifest, rows: DataFrame, here: DataFrame, scope: Scope
) -> DataFrame:
    """Present rows of a star table whose key is no longer there.

    Parameters
    ----------
    rows
        The evaluated rows.
    here
        At least the table's rows whose key is in scope.
    """
    alive_here = here.where(present_rows(table))
    if scope.everything:
        there = rows.select(*keys.lookup_key(table.key))
    elif scope.gone_among_them:
        alive_here = scope.prune(alive_here, table.key)
        there = rows.select(*keys.lookup_key(table.key))
    else:
        alive_here = lake.spark.table(lake.star(table.name)).where(present_rows(table))
        mirror = lake.spark.table(lake.mirror(table.driver))
        if not table.filtered and scope.ranges is not None and table.column(table.key[0]).type.is_integer:
            alive_here = alive_here.where(within(table.key[0], scope.ranges))
            mirror = mirror.where(within(table.from_key[0], scope.ranges))
        if table.filtered:  # the SQL may let a changed row no longer through
            mirror = mirror.where(F.col("_batch") != manifest.batch)
        there = mirror.select(*contract.keys_in_star(mirror, table, table.from_key))
        if table.filtered:
            there = there.unionAll(rows.select(*keys.lookup_key(table.key)))
    return alive_here.join(there, keys.matches_lookup(table.key), "left_anti")

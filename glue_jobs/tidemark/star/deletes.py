"""Keys that left the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark.lake import keys
from tidemark.lake.mirror import within
from tidemark.model.definition import Dimension, Fact
from tidemark.star import contract
from tidemark.star.scope import Scope

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import Manifest


def lost_rows(
    lake: Lake, table: Dimension | Fact, manifest: Manifest, rows: DataFrame, alive_here: DataFrame, scope: Scope
) -> DataFrame:
    """Present rows here whose key is no longer there; ``rows`` are the evaluated rows."""
    if scope.everything:
        there = rows.select(*keys.lookup_key(table.key))
    else:
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

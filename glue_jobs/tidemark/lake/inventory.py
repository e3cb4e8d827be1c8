"""The tables that there are, listed once: asking for each costs as much as listing a hundred.

Promises: what this process makes and drops is known at once. Nobody else makes or drops tables while a run goes on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tidemark.base import quoting as names
from tidemark.base.spark import CATALOG
from tidemark.lake.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession


class Inventory:
    """Tables of some databases, by Spark's names of them, quoted."""

    def __init__(self, spark: SparkSession, databases: Sequence[str]) -> None:
        self._spark, self._databases = spark, databases
        self._names: set[str] | None = None
        self._lock = threading.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._there()

    def add(self, name: str) -> None:
        """Note a table that was made."""
        self._there().add(name)

    def discard(self, name: str) -> None:
        """Note a table that was dropped."""
        self._there().discard(name)

    def _there(self) -> set[str]:
        with self._lock:
            if self._names is None:
                self._names = {name for database in self._databases for name in self._listed(database)}
            return self._names

    def _listed(self, database: str) -> list[str]:
        place = Place(self._spark, names.spark(CATALOG, database, "any"))
        return [names.spark(CATALOG, database, table) for table in place.tables_beside()]

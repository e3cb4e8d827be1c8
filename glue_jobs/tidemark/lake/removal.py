"""Drop the lake's tables and files."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pyiceberg.exceptions import NoSuchNamespaceError

from tidemark.base import storage

if TYPE_CHECKING:
    from tidemark.lake.reader import LakeReader


def forget_lake(lake: LakeReader, processed_uri: str) -> None:
    """Drop the lake's tables from the catalogue, then their files."""
    for database in (lake.model.source_database, lake.model.star_database):
        with contextlib.suppress(NoSuchNamespaceError):
            for identifier in lake.catalog.list_tables(database):
                lake.catalog.drop_table(identifier)
        folder = f"{processed_uri.rstrip('/')}/{database}.db"
        for name in storage.names(folder):
            storage.delete(f"{folder}/{name}")

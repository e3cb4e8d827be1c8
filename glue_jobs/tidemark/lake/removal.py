"""Drop the lake's tables and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base import storage

if TYPE_CHECKING:
    from tidemark.lake.reader import LakeReader


def forget_lake(lake: LakeReader, processed_uri: str) -> None:
    """Drop the lake's tables from the catalogue, then their files."""
    for table in lake.tables():
        lake.catalog.drop_table(table)
    for database in (lake.model.source_database, lake.model.star_database):
        folder = f"{processed_uri.rstrip('/')}/{database}.db"
        for name in storage.names(folder):
            storage.delete(f"{folder}/{name}")

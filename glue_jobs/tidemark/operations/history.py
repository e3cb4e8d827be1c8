"""All versions of one fact row, as the warehouse has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tidemark.base.errors import TidemarkError
from tidemark.base.quoting import pg
from tidemark.model.definition import Fact, Model


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a fact row.

    Parameters
    ----------
    number
        1, 2, …
    valid_from, valid_to
        When it was true in the source (UTC); `valid_to` is None while it is.
    is_deleted
        Whether it ended because the source row was deleted.
    recorded_seq, closed_seq
        The run that wrote it, and the one that closed it.
    values
        The published columns.
    changed
        Those that differ from the version before.
    """

    number: int
    valid_from: datetime
    valid_to: datetime | None
    is_deleted: bool
    recorded_seq: int
    closed_seq: int | None
    values: dict[str, Any]
    changed: tuple[str, ...] = ()

    @property
    def end(self) -> str:
        """How its validity ended, for people."""
        if self.valid_to is None:
            return "now (current)"
        text = f"{self.valid_to:%Y-%m-%d %H:%M:%S}.{self.valid_to.microsecond // 1000:03d}"
        return f"{text} (deleted)" if self.is_deleted else text


def find_fact(model: Model, name: str) -> Fact:
    """Find a fact by its name, with or without ``fact_``.

    Raises
    ------
    TidemarkError
        If the model has no such fact.
    """
    fact = model.facts.get(name) or model.facts.get(f"fact_{name}")
    if fact is None:
        raise TidemarkError(
            f"model {model.name} has no fact {name!r}",
            expected=f"one of {', '.join(model.facts)}",
            do="name one of them",
        )
    return fact


def read_versions(warehouse: psycopg.Connection, model: Model, fact: Fact, key: Sequence[str]) -> list[Version]:
    """Read all versions of one key, oldest first; empty if there never was one.

    Raises
    ------
    TidemarkError
        If `key` has another number of values than the fact's, or one of another type, or nothing has been loaded yet.
    """
    wanted = ", ".join(f"{name}, of type {fact.column(name).type}" for name in fact.key)
    no_key = TidemarkError(f"{', '.join(key)!r} is no key of {fact.name}", expected=wanted)
    if len(key) != len(fact.key):
        raise no_key
    conditions = " AND ".join(
        f"{pg(name)} = CAST(%s AS {fact.column(name).type.warehouse})"  # a type's name, checked by the model
        for name in fact.key
    )
    query = f"SELECT * FROM {pg(model.name, fact.name)} WHERE {conditions} ORDER BY version"  # noqa: S608 - quoted names
    try:
        with warehouse.transaction(), warehouse.cursor(row_factory=dict_row) as cursor:
            cursor.execute("SET LOCAL timezone = 'UTC'")
            rows = cursor.execute(query.encode(), key).fetchall()
    except psycopg.DataError:
        raise no_key from None
    except psycopg.errors.UndefinedTable:
        raise TidemarkError(
            f"the warehouse has no {model.name}.{fact.name} yet", do="load it first, with: tidemark tick"
        ) from None
    names = [column.name for column in fact.columns]
    versions: list[Version] = []
    for row in rows:
        values = {name: row[name] for name in names}
        changed = tuple(name for name in names if versions and values[name] != versions[-1].values[name])
        versions.append(
            Version(
                number=row["version"],
                valid_from=row["valid_from"],
                valid_to=row["valid_to"],
                is_deleted=row["is_deleted"],
                recorded_seq=row["recorded_seq"],
                closed_seq=row["closed_seq"],
                values=values,
                changed=changed,
            )
        )
    return versions

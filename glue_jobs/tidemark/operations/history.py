"""All versions of one fact row, as the warehouse has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.base.errors import TidemarkError
from tidemark.warehouse.protocol import NotLoadedError, StoredVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.model.definition import Fact, Model
    from tidemark.warehouse.protocol import WarehouseReader


@dataclass(frozen=True, kw_only=True)
class Version(StoredVersion):
    """One version of a fact row; ``changed`` are the published columns that differ from the version before."""

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


def read_versions(warehouse: WarehouseReader, model: Model, fact: Fact, key: Sequence[str]) -> list[Version]:
    """Read all versions of one key, oldest first; empty if there never was one.

    Raises
    ------
    TidemarkError
        If `key` has another number of values than the fact's, or one of another type, or nothing has been loaded yet.
    """
    wanted = ", ".join(f"{name}, of type {fact.column(name).type}" for name in fact.key)
    no_key = TidemarkError(f"{', '.join(key)!r} is not a key of {fact.name}", expected=wanted)
    if len(key) != len(fact.key):
        raise no_key
    try:
        stored = warehouse.versions(fact, key)
    except ValueError:
        raise no_key from None
    except NotLoadedError:
        raise TidemarkError(
            f"the warehouse has no {model.name}.{fact.name} yet", do="load it first, with: tidemark tick"
        ) from None
    return [_changed(version, before) for version, before in zip(stored, [None, *stored], strict=False)]


def _changed(version: StoredVersion, before: StoredVersion | None) -> Version:
    """Note which columns differ from the version before."""
    differing = [name for name, value in version.values.items() if before and value != before.values[name]]
    return Version(**vars(version), changed=tuple(differing))

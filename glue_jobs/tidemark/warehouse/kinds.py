"""The kinds of warehouses that there are: one line each, and a folder beside this module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemark.base.errors import WarehouseError
from tidemark.warehouse.postgres.warehouse import PostgresWarehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.base.credentials import Credentials
    from tidemark.model.definition import Model
    from tidemark.warehouse.protocol import Warehouse

DEFAULT_KIND: Final = "postgres"
KINDS: Final[dict[str, Callable[[Model, Credentials], Warehouse]]] = {DEFAULT_KIND: PostgresWarehouse}


def open_warehouse(kind: str | None, model: Model, credentials: Credentials) -> Warehouse:
    """Return the warehouse of a model; nothing is connected yet.

    Parameters
    ----------
    kind
        One of :data:`KINDS`; None, where a deployment says nothing, is :data:`DEFAULT_KIND`.

    Raises
    ------
    WarehouseError
        If there is no such kind.
    """
    made = KINDS.get(kind or DEFAULT_KIND)
    if made is None:
        raise WarehouseError(
            f"there is no warehouse of kind {kind!r}",
            expected=f"one of {', '.join(KINDS)}",
            do="name one of them in the deployment's setting warehouse",
        )
    return made(model, credentials)

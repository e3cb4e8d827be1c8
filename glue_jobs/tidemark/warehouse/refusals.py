"""What a load refuses, whatever the engine: states of warehouse, lake and model that do not belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base.errors import WarehouseError

if TYPE_CHECKING:
    from tidemark.lake.batches import AppliedBatch
    from tidemark.model.definition import Model


def from_another_lake(model: Model, through: int, known: str, found: str, from_scratch: str) -> WarehouseError:
    """Say that the warehouse was loaded from another lake, up to batch ``through``.

    Parameters
    ----------
    known, found
        The ids of that lake and of this one.
    from_scratch
        As :class:`tidemark.warehouse.protocol.Warehouse` says it.
    """
    return WarehouseError(
        f"the warehouse's schema {model.name} was loaded from another lake (up to batch {through})",
        expected=f"lake id {known}, found {found}",
        do=f"point at that lake again, or {from_scratch} to load this one",
    )


def ahead_of_the_lake(through: int, applied: AppliedBatch, from_scratch: str) -> WarehouseError:
    """Say that the warehouse has a batch, ``through``, that its lake does not."""
    return WarehouseError(
        f"the warehouse is at batch {through}, ahead of the lake at batch {applied.batch}",
        expected="a lake that is never set back",
        do=f"restore the lake's bucket, or {from_scratch} to load from scratch",
    )


def made_with_another_model(applied: AppliedBatch, model: Model) -> WarehouseError:
    """Say that the lake's batch was made with another model than this one."""
    return WarehouseError(
        f"batch {applied.batch} of the lake was made with another model than this one, which was changed since",
        expected=f"digest {applied.model_digest[:12]}, found {model.digest[:12]}",
        do="nothing: the next tick applies the new model; nothing was committed",
    )

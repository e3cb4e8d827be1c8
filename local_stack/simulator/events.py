"""What the simulated business did, one dataclass for each kind of event; ``str`` gives one line for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from local_stack.simulator.business import Kind


@dataclass(frozen=True)
class OrderPlaced:
    """An order with its transaction and payment, all with the timestamp `at`."""

    kind: Kind
    order_id: int
    transaction_id: int
    payment_id: int
    at: datetime
    amount: Decimal

    def __str__(self) -> str:
        """Return one line."""
        what = f"{self.kind} order {self.order_id}, payment {self.payment_id}: {self.amount:,.2f}"
        return f"{self.at:%Y-%m-%d %H:%M:%S} {what}"


@dataclass(frozen=True)
class PaymentsBooked:
    """The 07:55:11 batch: these payments are paid now."""

    at: datetime
    payment_ids: tuple[int, ...]

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.at:%Y-%m-%d %H:%M:%S} {len(self.payment_ids)} payments booked as paid"


@dataclass(frozen=True)
class SilentUpdate:
    """One column of an old row changed; its last_updated did not."""

    day: date
    table: str
    key: int
    column: str
    old: str | int
    new: str | int

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.day} silent update of {self.table} {self.key}: {self.column} {self.old!r} -> {self.new!r}"


@dataclass(frozen=True)
class Deleted:
    """An order, its transaction and its payment are gone (None: not deleted)."""

    day: date
    kind: Kind
    order_id: int | None
    transaction_id: int | None
    payment_id: int | None

    def __str__(self) -> str:
        """Return one line."""
        named = {f"{self.kind} order": self.order_id, "transaction": self.transaction_id, "payment": self.payment_id}
        gone = ", ".join(f"{name} {key}" for name, key in named.items() if key is not None)
        return f"{self.day} deleted: {gone}"


@dataclass(frozen=True)
class DesignsAdded:
    """New designs."""

    at: datetime
    design_ids: tuple[int, ...]

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} {len(self.design_ids)} new design(s): {', '.join(map(str, self.design_ids))}"
        )


Event = OrderPlaced | PaymentsBooked | SilentUpdate | Deleted | DesignsAdded

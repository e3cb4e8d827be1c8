"""Which types a column of a table may get, other than the one that it has: Iceberg's promotions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Name -> Spark type and comment.
Columns = dict[str, tuple[str, str]]


def refuse_other_types(where: str, columns: Columns, found: Mapping[str, str]) -> None:
    """Refuse columns whose types would have to become others, or narrower ones.

    Parameters
    ----------
    where
        Where they are declared, for the message.
    found
        The types that there are, name -> Spark type.

    Raises
    ------
    ModelError
        Naming the first of them.
    """
    for column, (kind, _) in columns.items():
        have = found.get(column, kind)
        if have != kind and not is_wider(have, kind):
            raise ModelError(
                f"{where}.{column} is {kind}, and {have} in the lake",
                expected="the same type, or a wider one",
                do="keep that type, or give the column a new name in star.yml: its history cannot change its type",
            )


def is_wider(have: str, want: str) -> bool:
    """Whether ``want`` is a promotion of ``have`` that Iceberg allows."""
    if (have, want) in (("int", "bigint"), ("float", "double")):
        return True
    if have.startswith("decimal(") and want.startswith("decimal("):
        (mine, scale), (other, other_scale) = (map(int, kind[8:-1].split(",")) for kind in (have, want))
        return scale == other_scale and other > mine
    return False


def is_another(have: str, want: str) -> bool:
    """Whether neither of two types holds the other's values: a narrower wish leaves the column as it is."""
    return have != want and not is_wider(have, want) and not is_wider(want, have)

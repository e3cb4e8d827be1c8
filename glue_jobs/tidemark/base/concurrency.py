"""Independent work that waits for others most of its time, a few pieces side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

AT_A_TIME: Final = 4


def concurrently(
    items: Iterable[Any], work: Callable[[Any], Any], when_one_is_done: Callable[[], None] | None = None
) -> list[Any]:
    """Do some work for each item, a few at a time, results in the items' order.

    Parameters
    ----------
    when_one_is_done
        Called after each item, in the thread that has done it.

    Raises
    ------
    Exception
        Whatever the first of the failures in that order is; what has begun is waited for.
    """

    def do_one(item: Any) -> Any:
        result = work(item)
        if when_one_is_done is not None:
            when_one_is_done()
        return result

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(do_one, items))


def by_item(
    items: Iterable[Any], work: Callable[[Any], Any], when_one_is_done: Callable[[], None] | None = None
) -> dict[Any, Any]:
    """Do the same as :func:`concurrently`; return the results by item."""
    listed = list(items)
    return dict(zip(listed, concurrently(listed, work, when_one_is_done), strict=True))

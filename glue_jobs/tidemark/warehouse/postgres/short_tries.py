"""Changes of objects that others use: a transaction each, tried for its locks for a moment only, and tried again.

Promises: whoever uses a table waits for one try at most, some tenths of a second: a try that does not get its lock
keeps none. When patience ends, who holds the locks is named. So is what of others PostgreSQL finds in the way. Either
way nothing is changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg import errors as pg_errors

from tidemark.base.errors import WarehouseError
from tidemark.base.quoting import pg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

LOCK_TRY = "200ms"
# A vacuum makes way only for who has waited deadlock_timeout for it, one second; if somebody comes to wait behind us
# meanwhile, the watch ends us.
VACUUM_TRY = "1500ms"
LOCK_PATIENCE_SECONDS = 45.0
LOCK_PAUSE_SECONDS = 0.5
_HOLDERS: Final = """
SELECT DISTINCT l.pid, coalesce(a.usename::text, '?'), coalesce(a.state, 'state not shown')
  FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND n.nspname = %s AND l.pid <> pg_backend_pid() AND l.database = (
       SELECT oid FROM pg_database WHERE datname = current_database())
   AND NOT coalesce(a.application_name, '') ^@ ANY(%s) ORDER BY 1 LIMIT 3
"""
# Whether nothing but vacuums (or analyses) holds more than readers and writers do.
_ONLY_VACUUM: Final = """
SELECT coalesce(bool_and(l.mode = 'ShareUpdateExclusiveLock'), false)
  FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
 WHERE l.granted AND c.relnamespace = to_regnamespace(%s) AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE application_name ^@ ANY(%s))
"""
# Other loads may make the same objects at the same time.
_AGAIN: Final = (
    pg_errors.LockNotAvailable,
    pg_errors.DeadlockDetected,
    pg_errors.UniqueViolation,
    pg_errors.DuplicateSchema,
    pg_errors.DuplicateTable,
)
# What PostgreSQL raises where something depends on what is changed. For a generated column, 13 raises SyntaxError.
_DEPENDED_ON: Final = (
    pg_errors.DependentObjectsStillExist,
    pg_errors.FeatureNotSupported,
    pg_errors.SyntaxError,
)


@dataclass(frozen=True)
class Purpose:
    """What the changes are made for, in the words of their messages.

    Parameters
    ----------
    change
        What the schema has to do.
    of_what
        The same, as what something may be in the way of.
    expected, way_out
        What must not be there of others, and what to do if it is.
    repeat
        What happened to the work, and what repeats it.
    beside
        What the application names of sessions begin with that are ours and may hold locks meanwhile.
    """

    change: str
    of_what: str
    expected: str
    way_out: str
    repeat: str
    beside: tuple[str, ...] = ()


class ShortTries:
    """Changes one schema of the warehouse.

    Parameters
    ----------
    connection
        In autocommit, with its search path pinned.
    schema
        Its name, not quoted.
    """

    def __init__(self, connection: psycopg.Connection[Any], schema: str, purpose: Purpose) -> None:
        self._connection, self._schema, self._purpose = connection, schema, purpose

    def run(self, statements: Sequence[str] | Callable[[], Sequence[str]]) -> None:
        """Run statements (or what a function of the locked state gives) as one transaction, in short tries.

        Raises
        ------
        WarehouseError
            Naming who holds the locks, or what of others is in the way.
        """
        if not statements:
            return
        deadline, longest = time.monotonic() + LOCK_PATIENCE_SECONDS, LOCK_TRY
        while True:
            try:
                with self._connection.transaction():
                    self._connection.execute(f"SET LOCAL lock_timeout = '{longest}'".encode())
                    for statement in statements() if callable(statements) else statements:
                        self._connection.execute(statement.encode())
            except _AGAIN as error:
                if time.monotonic() > deadline:
                    if not isinstance(error, pg_errors.LockNotAvailable):
                        raise
                    raise self._locked() from None
                time.sleep(LOCK_PAUSE_SECONDS)
                longest = VACUUM_TRY if self._only_vacuum() else LOCK_TRY
            except _DEPENDED_ON as error:
                if not error.diag.message_detail and isinstance(error, pg_errors.SyntaxError):
                    raise  # a defect of ours: who names a dependant does it in the detail
                # The detail of these errors holds names only.
                words = f"{error.diag.message_primary}: {error.diag.message_detail or ''}"
                raise in_the_way(" ".join(words.split()), self._purpose) from None
            else:
                return

    def _locked(self) -> WarehouseError:
        found = self._connection.execute(_HOLDERS.encode(), (self._schema, list(self._purpose.beside))).fetchall()
        holders = [f"session {pid} of {user} ({state})" for pid, user, state in found]
        return WarehouseError(
            f"the warehouse's schema {self._schema} has to {self._purpose.change}, and its tables stayed in use for "
            f"{LOCK_PATIENCE_SECONDS:.0f} s by {', '.join(holders) or 'sessions that are gone now'}",
            expected="a moment in which no transaction uses them",
            do=f"let those transactions end; {self._purpose.repeat}",
        )

    def _only_vacuum(self) -> bool:
        values = (pg(self._schema), list(self._purpose.beside))
        found = self._connection.execute(_ONLY_VACUUM.encode(), values).fetchone()
        return found is not None and bool(found[0])


def in_the_way(what: str, purpose: Purpose) -> WarehouseError:
    """Name what others have hung on objects of ours."""
    return WarehouseError(
        f"objects of the warehouse that are not Tidemark's are in the way of {purpose.of_what}: {what}",
        expected=purpose.expected,
        do=purpose.way_out,
    )

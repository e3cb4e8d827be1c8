"""The PostgreSQL warehouse: the star of one model in the schema of its name; ledger and staging in schema ``etl``."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tidemark.base.errors import WarehouseError
from tidemark.base.giving_way import Watch, try_again
from tidemark.base.sessions import open_session
from tidemark.source.pooling import check_direct
from tidemark.warehouse.postgres.connection import ERRORS, FROM_SCRATCH, connect, told
from tidemark.warehouse.postgres.load import PostgresLoad
from tidemark.warehouse.postgres.reader import PostgresReader
from tidemark.warehouse.postgres.removal import drop_star
from tidemark.warehouse.postgres.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.base.credentials import Credentials
    from tidemark.model.definition import Model
    from tidemark.warehouse.protocol import WarehouseLoad, WarehouseReader

_REPEATED_LOAD: Final = (
    "nothing was committed, the next tick repeats. If this happens at every tick, look at what waits there; a type "
    "that becomes wider rewrites its table, which needs a quiet moment"
)
_REFUSED_LOAD: Final = "look at what the server names; nothing was committed, and the next tick repeats"


class PostgresWarehouse:
    """A :class:`tidemark.warehouse.protocol.Warehouse`.

    Parameters
    ----------
    model
        Names the schema, and says what is in it.
    credentials
        Of a role that may create schemas; reading needs less.
    """

    from_scratch = FROM_SCRATCH

    def __init__(self, model: Model, credentials: Credentials) -> None:
        self._model, self._credentials = model, credentials
        self._place = f"warehouse {credentials.place}"

    @contextmanager
    def load(self) -> Iterator[WarehouseLoad]:
        """Open the load's transaction; commit when the block ends well, roll back otherwise."""
        run = secrets.token_hex(4)
        load, schema = f"tidemark-load {run}", f"tidemark-schema {run}"
        with told(self._credentials, do=_REFUSED_LOAD):
            session = open_session(self._credentials, schema)
            if not session.takes_options:  # something stands before the server
                check_direct("warehouse", self._credentials, snapshots=False)
            with (
                session.connection as changing,
                Watch(self._credentials, [load, schema]) as watch,
                watch.explaining(ERRORS, self._place, "load", _REPEATED_LOAD),
                connect(self._credentials, load, session) as connection,
            ):
                yield PostgresLoad(self._model, connection, Schema(self._model, changing))
                connection.commit()

    @contextmanager
    def reader(self) -> Iterator[WarehouseReader]:
        """Open a session for reading, and give it up if somebody waits for what it reads."""
        reading = f"tidemark-compare {secrets.token_hex(4)}"
        with told(self._credentials):
            connection = open_session(self._credentials, reading).connection
        # What is raised within the block is told by the reader's own methods: it may be somebody else's.
        with (
            connection,
            Watch(self._credentials, [reading]) as watch,
            watch.explaining(WarehouseError, self._place, "comparison", "nothing was changed; run it again"),
        ):
            yield PostgresReader(self._model, connection, self._credentials)

    def forget(self) -> None:
        """Drop what is ours, in short tries; begin again where somebody waits for us all the same."""
        try_again(self._drop)

    def _drop(self) -> None:
        dropping = f"tidemark-drop {secrets.token_hex(4)}"
        with told(self._credentials):
            connection = open_session(self._credentials, dropping).connection
            with connection, Watch(self._credentials, [dropping]) as watch:
                do = "nothing was dropped; rebuild again at a quieter time"
                with watch.explaining(ERRORS, self._place, "rebuild", do):
                    drop_star(connection, self._model)

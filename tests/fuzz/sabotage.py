"""Faults at chosen places of the jobs: patched in from outside, the product knows nothing of it.

A *boundary* is a call after or before which a job may die: whatever writes data files, a manifest, a marker, an Iceberg
commit, a staging table, or commits in the warehouse. Each has a name with what it writes, for example ``append
etl_batches``. :class:`Sabotage` does something (usually: dies) before or after the first time that one is reached. A job
that died does nothing more: its other threads die at their next boundary, too.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal
from unittest import mock

from adbc_driver_manager import dbapi
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from tidemark.lake.place import Place
from tidemark.lake.tables import Lake
from tidemark.landing.area import Landing
from tidemark.warehouse.postgres.load import PostgresLoad

from tests.store_proxy import LATE_SECONDS, SORRY, StoreProxy

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from local_stack.postgres.server import Credentials

When = Literal["before", "after"]


class KilledError(BaseException):
    """The process dies here: nothing in the jobs may catch this."""


def _table(args: tuple[Any, ...]) -> str:
    """Last part of the name of the lake table, which is the first text among a call's arguments."""
    name = next(arg for arg in args if isinstance(arg, str))
    return name.rsplit(".", 1)[-1].strip("`")


def _of(kind: str, what: Callable[[tuple[Any, ...]], str]) -> Callable[[tuple[Any, ...]], str]:
    return lambda args: f"{kind} {what(args)}"


def _called(name: str) -> Callable[[tuple[Any, ...]], str]:
    return lambda _: name


def _key_kind(args: tuple[Any, ...]) -> str:
    """``s3://bucket/landing-1/pending/0000000001`` -> ``pending``."""
    return next((kind for kind in ("manifests", "pending", "published", "heartbeat") if f"/{kind}" in args[0]), "other")


# Where a boundary is (owner, attribute), and its name from the call's arguments.
BOUNDARIES: Final[tuple[tuple[Any, str, Callable[[tuple[Any, ...]], str]], ...]] = (
    ("tidemark.jobs.extract", "read_all", _called("data files")),
    ("tidemark.base.storage", "put_new", _of("put", _key_kind)),
    ("tidemark.base.storage", "put", _of("put", _key_kind)),
    ("tidemark.base.storage", "delete", _of("delete", _key_kind)),
    (Place, "create", _called("create")),
    (Lake, "append", _of("append", _table)),
    (Lake, "append_rows", _of("append", _table)),
    ("tidemark.lake.merge", "merge_into", _of("merge", _table)),
    ("tidemark.lake.few_landed", "apply", _of("merge", _table)),
    (PostgresLoad, "_stage", _of("stage", lambda args: str(args[1]))),
    (PostgresLoad, "merge_dimension", _of("load", lambda args: str(args[1].name))),
    (PostgresLoad, "merge_fact", _of("load", lambda args: str(args[1].name))),
    (PostgresLoad, "record", _called("ledger")),
    (dbapi.Connection, "commit", _called("warehouse commit")),
    (Landing, "publish", _called("publish")),
)


@dataclass
class Sabotage:
    """One fault, at the first time that one boundary is reached.

    Parameters
    ----------
    boundary, when
        Where.
    action
        What happens there instead of dying, if given; the job goes on.
    """

    boundary: str = ""
    when: When = "before"
    action: Callable[[], None] | None = None
    fired: bool = False
    reached: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_by(self, name: str, when: When) -> None:
        """Note that a boundary is reached; do what is to be done."""
        with self._lock:
            self.reached.append(f"{when} {name}")
            dead = self.fired and self.action is None
            now = not self.fired and (name, when) == (self.boundary, self.when)
            self.fired = self.fired or now
        if dead or (now and self.action is None):
            raise KilledError(f"{when} {name}")
        if now and self.action is not None:
            self.action()

    @contextmanager
    def armed(self) -> Iterator[Sabotage]:
        """Let the boundaries report here."""
        with ExitStack() as stack:
            for owner, attribute, namer in BOUNDARIES:
                place = import_module(owner) if isinstance(owner, str) else owner
                wrapped = self._wrap(getattr(place, attribute), namer)
                stack.enter_context(mock.patch.object(place, attribute, wrapped))
            yield self

    def _wrap(self, original: Callable[..., Any], namer: Callable[[tuple[Any, ...]], str]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapped(*args: Any, **options: Any) -> Any:
            name = namer(args)
            self.pass_by(name, "before")
            result = original(*args, **options)
            self.pass_by(name, "after")
            return result

        return wrapped


@dataclass
class BadNetwork:
    """S3 and Glue that sometimes answer 500, answer late, or lose the answer to a request that they have fulfilled.

    Parameters
    ----------
    rng
        Decides which request suffers.
    budget
        How many do at most; what is retried often enough passes.
    share
        Part of the requests that suffer.
    kinds
        What they suffer.
    requests
        Regular expression that a request that suffers begins with: method and path.
    """

    rng: random.Random
    budget: int
    share: float = 0.1
    kinds: tuple[str, ...] = ("refused", "lost", "slow")
    requests: str = ""
    suffered: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def armed(self) -> Iterator[BadNetwork]:
        """Stand between every client of this process' local AWS, the JVM included, and its answers."""
        original = DomainDispatcherApplication.__call__
        spoil = self._choose

        def answer(application: Any, environ: dict[str, Any], start_response: Any) -> Any:
            fault = spoil(environ["REQUEST_METHOD"], environ["PATH_INFO"])
            if fault == "slow":
                time.sleep(LATE_SECONDS)
            if fault not in ("refused", "lost"):
                return original(application, environ, start_response)
            if fault == "lost":
                b"".join(original(application, environ, lambda *_: None))
            else:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [SORRY]

        with (
            mock.patch.object(DomainDispatcherApplication, "__call__", answer),
            mock.patch.object(StoreProxy, "fault", lambda _, method, path: spoil(method, path)),
        ):
            yield self

    def _choose(self, method: str, path: str) -> str:
        request = f"{method} {path}"
        with self._lock:
            spared = len(self.suffered) >= self.budget or self.rng.random() > self.share
            if spared or not re.match(self.requests, request):
                return ""
            fault = self.rng.choice(self.kinds)
            self.suffered.append(f"{fault} {request}")
            return fault


_TERMINATE: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'tidemark-%'"
)


def terminator(database: Credentials) -> Callable[[], None]:
    """Return a function that ends the jobs' sessions in a database, as an administrator may."""

    def terminate() -> None:
        with database.connect() as connection:
            connection.execute(_TERMINATE.encode())

    return terminate

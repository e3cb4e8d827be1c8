"""``tidemark up`` and ``tidemark down``: start a stack, bring a running one up to date, remove one.

Promises: whatever fails in :func:`up`, nothing that it started stays behind; leftovers of a crashed stack are removed
before a new one starts; of two at once, the second waits.

The lake's catalogue lives in the daemon's memory. So the lake's files and the embedded databases live as long as the
daemon and no longer: a warehouse without its lake, or the other way round, would be of no use.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidemark.base.database_url import Credentials
from tidemark.jobs.deployment import Deployment
from tidemark.model.definition import Model
from tidemark.model.loader import load_model

from local_stack import databases as own_databases
from local_stack import isolation
from local_stack.aws.client import REPO, LocalAws, LocalStackError
from local_stack.aws.provisioning import provision
from local_stack.aws.state_dir import LAKE_DIR
from local_stack.databases import DatabaseRef
from local_stack.postgres.directory import ServerDirectory
from local_stack.postgres.server import EmbeddedPostgres
from local_stack.simulator.schema import TABLES
from local_stack.stack import RECORD_FILE, Record, Stack, deployment

DEFAULT_MODEL: Final = REPO / "model" / "totesys"

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What ``tidemark up`` is asked for; None where the user said nothing. ``repr`` shows no URL.

    Parameters
    ----------
    model_dir, landing_format
        Folder of the model; ``parquet`` or ``csv``.
    source, warehouse
        Complete credentials of own databases.
    """

    model_dir: Path | None = None
    landing_format: str | None = None
    source: Credentials | None = None
    warehouse: Credentials | None = None


def up(state_dir: Path, wanted: UpOptions, say: Report) -> Stack:
    """Start a stack, or bring the running one up to date.

    Parameters
    ----------
    state_dir
        Its directory.
    wanted
        What the user asked for.
    say
        Called with one line for each thing done.

    Raises
    ------
    LocalStackError, DatabaseError, TidemarkError
        If that cannot be, or a given database is not reached directly; whatever was started has been stopped again.
    """
    isolation.enter()
    state_dir = state_dir.resolve()
    own_databases.check_direct(wanted.source, wanted.warehouse)
    with _one_at_a_time(state_dir):
        running = _running(state_dir)
        if running is not None:
            return _refresh(running, wanted, say)
        model = load_model(str((wanted.model_dir or DEFAULT_MODEL).resolve()))
        if wanted.source is None:
            _check_embedded_source(model)
        if _clean(state_dir):
            say("removed what an earlier stack had left behind")
        try:
            return _start(state_dir, wanted, model, say)
        except BaseException:
            _clean(state_dir)
            raise


def down(state_dir: Path) -> Record | None:
    """Stop the stack and remove its databases; logs stay. Return what was running or left, None if nothing was."""
    state_dir = state_dir.resolve()
    if not state_dir.is_dir():
        return None
    with _one_at_a_time(state_dir):
        record = Record.read(state_dir)
        cleaned = _clean(state_dir)
    nowhere = DatabaseRef(embedded=True, address="")
    half = Record(model_dir="", model_name="", landing_format="", source=nowhere, warehouse=nowhere)
    return (record or half) if cleaned else None


def is_running(state_dir: Path) -> bool:
    """Whether a stack, or half of one, runs in a directory."""
    try:
        LocalAws.attach(state_dir)
    except LocalStackError:
        return False
    return True


def _running(state_dir: Path) -> Stack | None:
    with contextlib.suppress(LocalStackError):
        return Stack.attach(state_dir)
    return None


def _start(state_dir: Path, wanted: UpOptions, model: Model, say: Report) -> Stack:
    """Start databases and local AWS at the same time: each waits for processes most of the time."""
    model_dir = str((wanted.model_dir or DEFAULT_MODEL).resolve())
    landing_format = wanted.landing_format or "parquet"
    with ThreadPoolExecutor(1) as pool:
        deployed = pool.submit(_deploy, state_dir, deployment(model.name, model_dir, landing_format))
        places, source, warehouse = own_databases.open_all(state_dir, wanted.source, wanted.warehouse, say)
        aws = deployed.result()
    say(f"local AWS:          {aws.endpoint}")
    say(f"local S3:           {aws.about_store}")
    record = Record(
        model_dir=model_dir,
        model_name=model.name,
        landing_format=landing_format,
        source=places.source,
        warehouse=places.warehouse,
    )
    stack = Stack(aws, record)
    stack.put_secrets(source, warehouse)
    record.write(state_dir)
    return stack


def _deploy(state_dir: Path, wanted: Deployment) -> LocalAws:
    aws = LocalAws.start(state_dir)
    provision(aws, wanted)
    return aws


def _refresh(stack: Stack, wanted: UpOptions, say: Report) -> Stack:
    """Check that the running stack is the one that was asked for, and renew its secrets and resources."""
    record = stack.record
    asked: dict[str, tuple[str | None, str]] = {
        "--model": (str(wanted.model_dir.resolve()) if wanted.model_dir else None, record.model_dir),
        "--landing-format": (wanted.landing_format, record.landing_format),
        "--source": (str(wanted.source) if wanted.source else None, record.source.address),
        "--warehouse": (str(wanted.warehouse) if wanted.warehouse else None, record.warehouse.address),
    }
    for option, (new, old) in asked.items():
        if new is not None and new != old:
            raise LocalStackError(
                f"a stack with {option} {old} is running in {stack.state_dir}, and {new} was asked for; "
                f"stop it first (tidemark down --state {stack.state_dir}), or use another --state"
            )
    say(f"already running in {stack.state_dir}")
    source, warehouse = wanted.source or stack.source, wanted.warehouse or stack.warehouse
    if record.source.embedded or record.warehouse.embedded:
        server = EmbeddedPostgres.start(stack.state_dir)  # does nothing unless it died, alone
        source = server.credentials(source.dbname, source.username) if record.source.embedded else source
        warehouse = server.credentials(warehouse.dbname, warehouse.username) if record.warehouse.embedded else warehouse
    stack.put_secrets(source, warehouse)
    provision(stack.aws, stack.deployment)
    return stack


def _clean(state_dir: Path) -> bool:
    """Stop and remove whatever is in a state directory, but not its logs; tell whether there was anything."""
    found = False
    with contextlib.suppress(LocalStackError):
        LocalAws.attach(state_dir).stop()
        found = True
    area = ServerDirectory(state_dir)
    if area.exists() or area.pointer.is_symlink():
        EmbeddedPostgres(area).destroy()
        found = True
    if (state_dir / RECORD_FILE).exists():
        (state_dir / RECORD_FILE).unlink()
        found = True
    for folder in ("tmp", LAKE_DIR):
        shutil.rmtree(state_dir / folder, ignore_errors=True)
    return found


def _check_embedded_source(model: Model) -> None:
    """Only the totesys tables can be simulated."""
    strange = sorted(
        table.name for table in model.tables.values() if table.relation not in TABLES or table.schema != "public"
    )
    if strange:
        raise LocalStackError(
            f"model {model.name} reads tables that the embedded source does not have ({', '.join(strange)}); "
            "name your database with --source or TIDEMARK_SOURCE_URL"
        )


@contextlib.contextmanager
def _one_at_a_time(state_dir: Path) -> Iterator[None]:
    """Keep a second ``up`` or ``down`` waiting until the first is done."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "tidemark.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

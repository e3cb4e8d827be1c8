"""One clear sentence for everything that can go wrong outside this program; a stack trace only for our own defects."""

from __future__ import annotations

import psycopg
from requests.exceptions import RequestException
from tidemark.base import aws
from tidemark.base.database_url import DatabaseUrlError
from tidemark.base.errors import TidemarkError

from local_stack.aws.client import LocalStackError
from local_stack.postgres.directory import DatabaseError
from local_stack.simulator.day import SimulationError, SnapshotError

OURS = (TidemarkError, LocalStackError, DatabaseError, DatabaseUrlError, SimulationError, SnapshotError, TimeoutError)


def sentence(error: BaseException) -> str | None:
    """Say what happened and what to do; None for an error that is a defect of this program."""
    text: str | None = None
    if isinstance(error, OURS):
        text = str(error)
    elif isinstance(error, psycopg.Error):
        text = _from_database(error)
    elif isinstance(error, aws.AwsRefusal):
        to_do = _to_do("check what your credentials may do")
        text = f"{_aws()} refuses {error.operation_name}: {aws.code_of(error)}; {to_do}"
    elif isinstance(error, aws.AwsSilence | RequestException):
        to_do = _to_do("check the network, AWS_PROFILE and AWS_REGION")
        text = f"{_aws()} does not answer ({type(error).__name__}); {to_do}"
    elif isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        text = f"the file system refuses{where}: {error.strerror or error}"
    return text


def _aws() -> str:
    return "the local AWS" if aws.endpoint() else "AWS"


def _to_do(on_aws: str) -> str:
    return "start again: tidemark down, then tidemark up" if aws.endpoint() else on_aws


def _from_database(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"the database refuses it: {_first_line(error)}; use a role that may, or grant it"
    if isinstance(error, psycopg.OperationalError):
        return f"a database cannot be reached: {_first_line(error)}; check that it runs, then try again"
    return f"a database refuses what was asked: {_first_line(error)}"


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)

"""Keeps a local stack away from the real AWS, and the user's own settings away from a local stack.

Owns the variables with which the AWS SDKs of Python, Java and C++, S3A, Iceberg, pyiceberg and fsspec find the local
AWS. Promises: whatever ``~/.aws``, ``AWS_*``, ``~/.boto``, a proxy or a ``PG*`` variable says, the commands, the daemon
and the jobs talk to the local AWS alone, and none of them fails because of it. A client to which nobody named an
endpoint reaches a closed port of this machine.

Nothing happens on import: a process is isolated when it starts a stack or attaches to one (:func:`enter`), because the
same code works on the real AWS elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

import boto3
from tidemark.base import aws

REGION: Final = "eu-west-2"
# The port "discard": nothing listens there.
NOWHERE: Final = "http://127.0.0.1:9"
# moto asks for none, the store for these; both answer on this machine alone.
ACCESS_KEY: Final = "local"
SECRET_KEY: Final = "local"  # noqa: S105 # nosec B105
_OF_THE_USER: Final = ("AWS_", "BOTO", "FSSPEC", "PYICEBERG_", "MOTO_")
# What libpq takes from the environment and our connections always say themselves, or what leads to a password.
_LOOKED_UP: Final = (
    *("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR"),
    *("PGSSLMODE", "PGSSLROOTCERT", "PGCONNECT_TIMEOUT", "PGAPPNAME", "PGCHANNELBINDING"),
)


def variables(endpoint: str = NOWHERE, store: str = "") -> dict[str, str]:
    """Give the variables of a process that knows the local AWS at `endpoint`, S3 at `store`, and no other."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": store or endpoint,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "BOTO_CONFIG": os.devnull,
        "FSSPEC_CONFIG_DIR": os.devnull,
        # Not only localhost: with this Python asks no system settings for a proxy either.
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def without_the_users(outer: Mapping[str, str]) -> dict[str, str]:
    """Leave out of an environment what could lead an SDK elsewhere, or change what libpq does."""
    return {name: value for name, value in outer.items() if not _is_the_users(name)}


def _is_the_users(name: str) -> bool:
    upper = name.upper()
    return (
        upper.startswith(_OF_THE_USER) or upper.endswith("_PROXY") or (name.startswith("PG") and name not in _LOOKED_UP)
    )


def enter(endpoint: str = NOWHERE, store: str = "") -> None:
    """Isolate this process; may be called again, with other endpoints."""
    for name in os.environ.keys() - without_the_users(os.environ).keys():
        del os.environ[name]
    os.environ.update(variables(endpoint, store))
    # What was made or read before knows the user's own settings.
    boto3.DEFAULT_SESSION = None
    aws.forget()
    if "fsspec.config" in sys.modules:
        sys.modules["fsspec.config"].conf.clear()

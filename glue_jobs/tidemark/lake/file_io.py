"""The lake's files for Arrow: one file system for the process, without a JVM."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pyiceberg.io.pyarrow import PyArrowFileIO

from tidemark.base import aws

if TYPE_CHECKING:
    from pyiceberg.io import FileIO


def file_io() -> FileIO:
    """Return the file system of the lake's files, where S3 is said to be now."""
    return _files(aws.region(), aws.endpoint("s3"))


@functools.cache
def _files(region: str, endpoint: str | None) -> FileIO:
    return PyArrowFileIO({"s3.region": region, **({"s3.endpoint": endpoint} if endpoint else {})})

"""The lake's files for Arrow, without a JVM: small ones are read with one request, and only once.

Promises: a file of the lake never changes under its name (Iceberg gives each a new one), so what was read stays true.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyiceberg.io import InputFile
from pyiceberg.io.pyarrow import PyArrowFileIO

from tidemark.base import aws, storage

if TYPE_CHECKING:
    from pyiceberg.io import InputStream

# A larger file is read in pieces: of its columns, those that are asked for.
_SMALL: Final = 256 * 2**10
_MOST_KEPT: Final = 32 * 2**20


def file_io() -> LakeFiles:
    """Return the file system of the lake's files, where S3 is said to be now."""
    return _files(aws.region(), aws.endpoint("s3"))


@functools.cache
def _files(region: str, endpoint: str | None) -> LakeFiles:
    return LakeFiles({"s3.region": region, **({"s3.endpoint": endpoint} if endpoint else {})})


class LakeFiles(PyArrowFileIO):
    """Arrow's file system would ask for a file's size, then for its end, then for its columns."""

    def __init__(self, properties: dict[str, str]) -> None:
        super().__init__(properties)
        self._kept: dict[str, bytes] = {}
        self._room, self._lock = _MOST_KEPT, threading.Lock()

    def new_input(self, location: str) -> InputFile:  # type: ignore[override] # Arrow's own, or one in memory
        """Return a file: a small one in memory."""
        content = self._kept.get(location)
        if content is None:
            content = storage.get_small(location, _SMALL)
            if content is None:
                return self.in_pieces(location)
            self._keep(location, content)
        return _Whole(location, content)

    def in_pieces(self, location: str) -> InputFile:
        """Return a file that is known to be large: it need not be asked for whole first."""
        return super().new_input(location)

    def _keep(self, location: str, content: bytes) -> None:
        with self._lock:
            if location not in self._kept and len(content) <= self._room:
                self._kept[location] = content
                self._room -= len(content)


class _Whole(InputFile):
    """A file in memory."""

    def __init__(self, location: str, content: bytes) -> None:
        super().__init__(location)
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    def exists(self) -> bool:
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002
        return pa.BufferReader(self._content)  # type: ignore[no-any-return]

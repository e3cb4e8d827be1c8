"""The files of a model folder, from a path, from S3, or zipped; YAML into typed shapes.

Promises: a key that appears twice and an unknown key are errors, never a silent choice.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tidemark.base import storage
from tidemark.base.errors import ModelError
from tidemark.model import yaml_text

T = TypeVar("T", bound=BaseModel)


class Folder:
    """The files of a model folder, and the digest of all that was read from it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._read: dict[str, bytes] = {}
        self._archive = _archive(self.uri) if self.uri.endswith(".zip") else None

    def at(self, file: str) -> str:
        """Return where a file is, for messages."""
        return f"{self.uri}/{file}"

    def text(self, file: str, why: str) -> str:
        """Return a file's content; ``why`` says what it is needed for.

        Raises
        ------
        ModelError
            If it is not there, or no UTF-8 text.
        """
        try:
            content: bytes | None
            if self._archive is not None:
                content = self._archive.read(file) if file in self._archive.namelist() else None
            elif self.uri.startswith("s3://"):
                content = storage.get(self.at(file))
            else:
                path = Path(self.uri, file)
                content = path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise ModelError(f"{self.at(file)} cannot be read: {error.strerror}", do="fix its permissions") from None
        if content is None:
            raise ModelError(
                f"{self.at(file)} does not exist", expected=why, do="add the file, or name another model folder"
            )
        self._read[file] = content
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise ModelError(f"{self.at(file)} is not UTF-8 text", do="save it as UTF-8") from None

    def digest(self) -> str:
        """Return the digest of all that was read."""
        whole = hashlib.sha256()
        for file in sorted(self._read):
            whole.update(file.encode() + b"\0" + self._read[file] + b"\0")
        return whole.hexdigest()


def _archive(uri: str) -> zipfile.ZipFile:
    """Open a zipped folder: one immutable object, as a deployment brings it."""
    content = storage.get(uri)
    if content is None or not zipfile.is_zipfile(io.BytesIO(content)):
        raise ModelError(
            f"{uri} {'does not exist' if content is None else 'is not a zip archive'}",
            expected="a zipped model folder",
            do="deploy again",
        )
    return zipfile.ZipFile(io.BytesIO(content))


def parse(folder: Folder, file: str, shape: type[T]) -> T:
    """Read a YAML file of the folder into its shape.

    Raises
    ------
    ModelError
        Naming the first thing in it that cannot be.
    """
    where = folder.at(file)
    try:
        content = yaml_text.parse(folder.text(file, "a model folder has source.yml and star.yml"))
    except yaml.YAMLError as error:
        raise ModelError(f"{where} is not valid YAML: {' '.join(str(error).split())}", do="fix the line") from None
    try:
        return shape.model_validate(content if content is not None else {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        found = "" if isinstance(first.get("input"), (dict, list)) else f" (found {first.get('input')!r})"
        more = f" and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        what = "unknown entry" if first["type"] == "extra_forbidden" else first["msg"]
        raise ModelError(f"{where}: {place}: {what}{found}{more}", do="correct it; see docs/model.md") from None

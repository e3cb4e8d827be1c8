"""YAML texts into Python's objects; long ones are kept, parsed, in the user's cache.

The model of 500 tables takes 0.8 seconds to parse, in each of the four processes of a tick; as JSON it takes 0.01.
Promises: a key that appears twice is an error, never a silent choice; what is kept is used for the very same text only,
and only if JSON says of it all that YAML does.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import yaml

from tidemark.base.user_cache import user_cache

if TYPE_CHECKING:
    from pathlib import Path

# With libyaml, where it is there, a model is read in a fifth of the time.
if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# So many characters take some fifty milliseconds to parse.
_LONG: Final = 50_000
_MOST_KEPT: Final = 20
# Nobody's home, no room, half a file, something that is not JSON: without a cache it works as well.
_NO_CACHE: Final = (OSError, RuntimeError, ValueError, TypeError)


def parse(text: str) -> Any:
    """Parse a text.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, or has a key twice.
    """
    if len(text) < _LONG:
        return _parse(text)
    with suppress(*_NO_CACHE):
        return json.loads(_place(text).read_bytes())
    content = _parse(text)
    with suppress(*_NO_CACHE):
        _keep(content, _place(text))
    return content


def _parse(text: str) -> Any:
    return yaml.load(text, _UniqueKeyLoader)  # noqa: S506 # nosec B506 # a SafeLoader


def _place(text: str) -> Path:
    """Return where a text's content is; another version of the parser, or of the rules here, looks elsewhere."""
    rules = f"{yaml.__version__} 1 "
    return user_cache() / "models" / f"{hashlib.sha256((rules + text).encode()).hexdigest()}.json"


def _keep(content: Any, kept: Path) -> None:
    as_json = json.dumps(content)
    if json.loads(as_json) != content:  # a date, or a key that is no text
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(f".{os.getpid()}")
    unfinished.write_text(as_json, encoding="utf-8")
    unfinished.replace(kept)
    newest_last = sorted(kept.parent.iterdir(), key=lambda file: file.stat().st_mtime)
    for old in newest_last[:-_MOST_KEPT]:
        old.unlink()


class _UniqueKeyLoader(_SafeLoader):
    """A safe loader to which a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):  # of others, the parser itself says what is wrong
                if key in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key!r} appears twice", problem_mark=key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)

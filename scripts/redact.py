"""Copy standard input to standard output without what a stage's settings file says: logs of CI may be public.

Account, network, secrets' names, telephone numbers and e-mail addresses become ``***``; so do they inside of longer
names. Short values and those that are everybody's (region, zone) stay: without them a log says nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PUBLIC: Final = frozenset({"region", "availability_zone", "model", "warehouse", "landing_format", "ca_bundle", "tags"})
_SHORTEST: Final = 7


def texts(value: Any) -> Iterator[str]:
    """All texts of a setting, those of a comma list one by one."""
    if isinstance(value, str):
        yield from (part.strip() for part in value.split(","))
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def private(settings: dict[str, Any]) -> list[str]:
    """Give what must not be seen, the longest first, so that none is left in pieces."""
    found = {text for name, value in settings.items() if name not in _PUBLIC for text in texts(value)}
    return sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)


def redact(lines: Iterable[str], hidden: list[str]) -> Iterator[str]:
    """Replace every hidden text."""
    for line in lines:
        clean = line
        for text in hidden:
            clean = clean.replace(text, "***")
        yield clean


def main(arguments: list[str]) -> int:
    """Redact standard input by the settings file that is named."""
    hidden = private(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    for line in redact(sys.stdin, hidden):
        sys.stdout.write(line)
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

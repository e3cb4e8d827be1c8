"""How many cases each layer of the tests has, and what they cost: the table of docs/testing.md.

Run: ``.venv/bin/pytest … --junitxml=build/tests.xml``, then ``python -m scripts.test_times build/tests.xml``. The
seconds are those that workers were busy with it, fixtures included.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FILES: Final = 15


def cases(report: Path) -> Iterator[tuple[str, str, float]]:
    """Yield layer, file and seconds of each case in a JUnit report; a class in a file counts to the file."""
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 # nosec B314 # pytest's own report
        words = case.get("classname", "").split(".")
        names = [word for word in words if word[:1].islower()]
        yield names[1], "/".join(names[1:]), float(case.get("time", 0))


def table(rows: Iterable[tuple[str, float]], title: str) -> list[str]:
    """Return a table of names, cases and seconds, the dearest first, and their sum."""
    sums: dict[str, list[float]] = defaultdict(list)
    for name, seconds in rows:
        sums[name].append(seconds)
    ranked = sorted(sums.items(), key=lambda item: -sum(item[1]))
    lines = [f"| {title} | Cases | Seconds |", "| --- | --- | --- |"]
    return [*lines, *(f"| `{name}` | {len(found):,} | {sum(found):,.0f} |" for name, found in ranked)]


def main() -> None:
    """Print both tables of a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="file that pytest --junitxml has written")
    found = list(cases(parser.parse_args().report))
    layers = table(((layer, seconds) for layer, _, seconds in found), "Layer")
    total = f"| all | {len(found):,} | {sum(seconds for *_, seconds in found):,.0f} |"
    files = table(((file, seconds) for _, file, seconds in found), "File")[: _FILES + 2]
    sys.stdout.write("\n".join([*layers, total, "", *files, ""]))


if __name__ == "__main__":
    main()

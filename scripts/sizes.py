"""Hold modules to 300 lines and functions to 40, docstring apart.

A function that is better left whole says why in a comment on its ``def`` line: ``# long: one row per setting``.
Run: ``.venv/bin/python -m scripts.sizes FOLDER ...``; exit code 1 if anything is too long.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MODULE_LINES: Final = 300
FUNCTION_LINES: Final = 40
_REASON: Final = re.compile(r"#.*\blong: \w")


def too_long(path: Path) -> Iterator[str]:
    """Name what is too long in one file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > MODULE_LINES:
        yield f"{path}: {len(lines)} lines, expected at most {MODULE_LINES}; split the module"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = _lines(node)
            head = " ".join(lines[node.lineno - 1 : node.body[0].lineno])
            if length > FUNCTION_LINES and not _REASON.search(head):
                yield (
                    f"{path}:{node.lineno}: {node.name} has {length} lines, expected at most {FUNCTION_LINES}; "
                    "split it, or say why not (# long: ...)"
                )


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines from ``def`` to its end, without its docstring."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def main(folders: list[str]) -> int:
    """Look through all Python files of the folders."""
    files = sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
    found = [line for file in files for line in too_long(file)]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

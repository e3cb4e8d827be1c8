"""The real archive: everything that the jobs import is in it, in Glue's image, or in Python itself."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from cdk_app.pipeline.assets import WHEELS_FILE
from cdk_app.settings import REPO
from scripts.wheels import IN_GLUE, LOCK, TARGET, WheelsError, make, wanted_pins

if TYPE_CHECKING:
    from collections.abc import Iterator


def runtime_imports(tree: ast.AST) -> Iterator[str]:
    """Top names of all modules imported when the code runs; what only a type checker sees is left out."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in tree.names)
    if isinstance(tree, ast.ImportFrom) and tree.module:
        yield tree.module.partition(".")[0]
    for child in ast.iter_child_nodes(tree):
        yield from runtime_imports(child)


@functools.cache
def imported() -> set[str]:
    files = (REPO / "glue_jobs").rglob("*.py")
    found = {name for file in files for name in runtime_imports(ast.parse(file.read_text(encoding="utf-8")))}
    return found - set(sys.stdlib_module_names) - {"tidemark", "__future__"}


def test_all_that_the_jobs_import_is_in_the_archive_or_in_glue() -> None:
    distributions = importlib.metadata.packages_distributions()
    archive = {pin.name for pin in wanted_pins(LOCK)}
    for module in imported():
        owners = {str(canonicalize_name(name)) for name in distributions[module]}
        assert owners & (archive | IN_GLUE), f"{module} is neither in the archive nor in Glue's image"
        assert not (owners & archive and owners & IN_GLUE)


def test_the_imports_are_really_looked_at() -> None:
    assert {"pydantic", "psycopg", "pyiceberg", "adbc_driver_postgresql", "pyspark", "boto3"} <= imported()


def test_the_stack_takes_the_archive_that_is_made() -> None:
    assert WHEELS_FILE == TARGET


@pytest.fixture(scope="module")
def archive_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real archive, as `make wheels` makes it, from the cache or the package index."""
    file = tmp_path_factory.mktemp("build") / TARGET.name
    try:
        make(LOCK, file, os.environ)
    except WheelsError as error:
        pytest.skip(str(error))
    return file


def test_the_archive_installs_on_glues_python_without_a_network(archive_file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive_file) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "wheels"
    listed = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert listed == [pin.requirement for pin in wanted_pins(LOCK)]
    command: list[str | Path] = [
        *(Path(sysconfig.get_path("scripts"), "uv"), "pip", "install", "--dry-run", "--no-index", "--no-deps"),
        *(
            "--offline",
            "--no-config",
            "--no-cache",
            "--find-links",
            folder,
            "--requirement",
            folder / "requirements.txt",
        ),
        *("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28", "--target", tmp_path / "out"),
        *("--only-binary", ":all:"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv of this environment
    assert run.returncode == 0, run.stderr
    installed = {line.strip(" +") for line in run.stderr.splitlines() if line.startswith(" + ")}
    assert installed == set(listed)

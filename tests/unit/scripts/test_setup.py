"""The set-up's scripts, run as `make setup` runs them, with a false Python, Java and download in place of the real."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONTENTS = {"one-1.0.jar": b"first", "two-2.1.jar": b"second jar"}


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{dedent(text)}", encoding="utf-8")
    path.chmod(0o755)


def run(*command: str | Path, **environment: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the scripts under test
        [str(part) for part in command],
        env={name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Machine:
    """A machine on whose PATH are only the basic tools and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in ("sh", "sed"):
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)

    def python(self, name: str, version: str, *, venv: bool = True) -> None:
        has_venv = "exit 0" if venv else "exit 1"
        program(
            self.bin / name, f'case "$2" in *ensurepip*) {has_venv} ;; *) echo "{version} /chosen/{name}" ;; esac\n'
        )

    def java(self, version: str, path: Path | None = None) -> None:
        program(
            path or self.bin / "java",
            f"""\
            echo 'Picked up JAVA_TOOL_OPTIONS: -Dx=y' >&2
            echo 'openjdk version "{version}" 2025-04-15' >&2
            """,
        )

    def preflight(self, *arguments: str, **environment: str | Path) -> subprocess.CompletedProcess[str]:
        return run(self.bin / "sh", ROOT / "scripts/preflight.sh", *arguments, PATH=self.bin, **environment)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("java", ["17.0.15", "21", "25-ea"])
def test_preflight_accepts_a_good_machine_silently(machine: Machine, java: str) -> None:
    machine.python("python3", "3.11")
    machine.java(java)
    result = machine.preflight()
    assert (result.returncode, result.stdout, result.stderr) == (0, "/chosen/python3\n", "")


def test_preflight_takes_the_newest_python_that_really_runs(machine: Machine) -> None:
    program(machine.bin / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127\n")
    machine.python("python3.12", "3.12", venv=False)
    machine.python("python3.11", "3.11")
    machine.python("python3", "3.9")
    machine.java("17")
    assert machine.preflight().stdout == "/chosen/python3.11\n"


def test_preflight_takes_the_python_it_is_given(machine: Machine) -> None:
    machine.python("python3.13", "3.13")
    machine.python("mine", "3.12")
    machine.java("17")
    assert machine.preflight(PYTHON="mine").stdout == "/chosen/mine\n"


def test_preflight_names_everything_missing_at_once(machine: Machine) -> None:
    result = machine.preflight()
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Python 3.11, 3.12 or 3.13" in result.stderr
    assert "no Java that runs" in result.stderr
    assert "apt install openjdk-17" in result.stderr
    assert "brew install python" in result.stderr


def test_preflight_names_a_python_too_old_or_too_new(machine: Machine) -> None:
    machine.python("python3", "3.9")
    machine.java("17")
    assert "found Python 3.9 (/chosen/python3)" in machine.preflight().stderr
    machine.python("python3", "3.14")
    assert "found Python 3.14" in machine.preflight().stderr


def test_preflight_tells_that_venv_is_missing(machine: Machine) -> None:
    machine.python("python3", "3.11", venv=False)
    machine.java("17")
    result = machine.preflight()
    assert result.returncode == 1
    assert "cannot make virtual environments" in result.stderr
    assert "sudo apt install python3-venv" in result.stderr


@pytest.mark.parametrize("java", ["1.8.0_402", "11.0.2"])
def test_preflight_names_a_java_too_old(machine: Machine, java: str) -> None:
    machine.java(java)
    result = machine.preflight("java")
    assert result.returncode == 1
    assert f"found Java {java}." in result.stderr


def test_preflight_respects_java_home(machine: Machine, tmp_path: Path) -> None:
    machine.java("17")
    assert machine.preflight("java").returncode == 0
    home = tmp_path / "jdk"
    result = machine.preflight("java", JAVA_HOME=home)
    assert f"no Java that runs (JAVA_HOME={home})" in result.stderr
    machine.java("21.0.1", home / "bin/java")
    assert machine.preflight("java", JAVA_HOME=home).returncode == 0


@pytest.mark.parametrize("name", ["plain", 'it\'s "my" $HOME 100% work'])
def test_an_environment_is_kept_where_it_was_made_and_made_anew_elsewhere(tmp_path: Path, name: str) -> None:
    clone = tmp_path / name
    files = ("requirements.txt", "pyproject.toml", "jars.lock", "scripts/jars.py", "scripts/class_archive.py")
    for file in files:
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).write_text("")
    (clone / "scripts/class_archive.py").write_text("open('.venv/spark.jsa', 'w'); print('archived')")
    for script in ("setup.sh", "preflight.sh"):
        shutil.copy(ROOT / "scripts" / script, clone / "scripts")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)  # noqa: S603
    told = "cat requirements.txt pyproject.toml scripts/setup.sh | cksum >.venv/.installed"
    subprocess.run(["sh", "-c", told], cwd=clone, check=True)  # noqa: S603, S607
    kept = clone / ".venv" / "kept"
    kept.touch()
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    first = run("sh", clone / "scripts/setup.sh", **variables)
    assert (first.returncode, first.stdout.count("\n")) == (0, 1), first
    assert "archived" in first.stdout
    assert run("sh", clone / "scripts/setup.sh", **variables).stdout == "", "nothing is done twice"
    assert kept.exists()
    moved = clone.rename(tmp_path / "moved")
    (moved / "scripts/preflight.sh").write_text("echo false\n")
    assert "Making the virtual environment" in run("sh", moved / "scripts/setup.sh", **variables).stdout


class Jars:
    """``scripts/jars.py`` with a Java that "downloads" from a folder and notes each call."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self.cache = folder / "cache"
        self.place = folder / "jars"
        self.lock = folder / "jars.lock"
        self.calls = folder / "calls"
        self.java_home = folder / "java"
        self.repository.mkdir()
        lines = []
        for name, content in CONTENTS.items():
            (self.repository / name).write_bytes(content)
            artifact, _, version = name.removesuffix(".jar").partition("-")
            lines.append(f"org.example:{artifact}:{version} {hashlib.sha256(content).hexdigest()} {len(content)}")
        self.lock.write_text("# a comment\n" + "\n".join(lines) + "\n", encoding="utf-8")
        self.deliver(f'cp {self.repository}/*.jar "$target"')

    def deliver(self, commands: str) -> None:
        program(
            self.java_home / "bin/java",
            f"""\
            echo called >>{self.calls}
            while [ "$1" != -retrieve ]; do shift; done
            target=$(dirname "$2")
            mkdir -p "$target"
            echo "	[SUCCESSFUL ] org.example#one;1.0!one.jar (3ms)"
            {commands}
            """,
        )

    def provide(self) -> subprocess.CompletedProcess[str]:
        return run(
            *(sys.executable, "-m", "scripts.jars", "--lock", self.lock, "--link", self.place),
            PATH=os.environ["PATH"],
            PYTHONPATH=ROOT,
            JAVA_HOME=self.java_home,
            TIDEMARK_CACHE=self.cache,
        )

    def downloads(self) -> int:
        return len(self.calls.read_text(encoding="utf-8").splitlines()) if self.calls.exists() else 0

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.place.iterdir()}


@pytest.fixture
def jars(tmp_path: Path) -> Jars:
    return Jars(tmp_path)


def test_jars_are_downloaded_once_and_linked(jars: Jars) -> None:
    first = jars.provide()
    assert first.returncode == 0, first.stderr
    assert "got one 1.0 (0.0 MB)" in first.stdout
    assert jars.contents() == CONTENTS
    assert jars.place.is_symlink()
    second = jars.provide()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert jars.downloads() == 1
    assert [path.name for path in jars.cache.iterdir()] == [jars.place.readlink().name]


@pytest.mark.parametrize("damage", ["shorter", "missing"])
def test_damaged_cache_is_fetched_again(jars: Jars, damage: str) -> None:
    jars.provide()
    victim = jars.place / "two-2.1.jar"
    if damage == "shorter":
        victim.write_bytes(b"sec")
    else:
        victim.unlink()
    result = jars.provide()
    assert result.returncode == 0
    assert "damaged (two-2.1.jar" in result.stdout
    assert jars.contents() == CONTENTS


def test_other_content_than_the_lock_pins_is_refused(jars: Jars) -> None:
    (jars.repository / "two-2.1.jar").write_bytes(b"SECOND JAR")
    result = jars.provide()
    assert result.returncode == 1
    assert "two 2.1 (0.0 MB) is not the file that jars.lock pins" in result.stderr
    assert not jars.place.exists()
    assert list(jars.cache.iterdir()) == []


def test_killed_download_is_not_taken_for_a_finished_one(jars: Jars) -> None:
    jars.deliver(f'cp {jars.repository}/one-1.0.jar "$target"; kill -9 $PPID; exit 1')
    assert jars.provide().returncode < 0
    assert not jars.place.exists()
    jars.deliver(f'cp {jars.repository}/*.jar "$target"')
    assert jars.provide().returncode == 0
    assert jars.contents() == CONTENTS


def test_what_a_killed_download_left_is_removed_when_it_is_old(jars: Jars) -> None:
    old, young = jars.cache / ".fetch-old", jars.cache / ".fetch-young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (0, 0))
    assert jars.provide().returncode == 0
    assert not old.exists()
    assert young.exists()


def test_failed_download_says_what_to_do(jars: Jars) -> None:
    jars.deliver("echo ':: problems summary ::'; echo '	Server access error at url x: unknown host'; exit 1")
    result = jars.provide()
    assert result.returncode == 1
    assert "Server access error at url x: unknown host" in result.stderr
    assert "check the network" in result.stderr
    assert "Traceback" not in result.stderr


def test_mistake_in_the_lock_is_named_by_line(jars: Jars) -> None:
    jars.lock.write_text("# a comment\norg.example:one:1.0 abc 5\n", encoding="utf-8")
    result = jars.provide()
    assert result.returncode == 1
    assert "jars.lock, line 2: expected" in result.stderr
    assert jars.downloads() == 0


def test_real_lock_pins_the_five_jars() -> None:
    lines = (ROOT / "jars.lock").read_text(encoding="utf-8").splitlines()
    artifacts = [line.split(":")[1] for line in lines if line and not line.startswith("#")]
    assert artifacts == [
        "iceberg-spark-runtime-4.1_2.13",
        "iceberg-aws-bundle",
        "postgresql",
        "hadoop-aws",
        "s3-transfer-manager",
    ]


@pytest.mark.parametrize(
    "stray",
    [
        "https://" + "pypi" + ".org/simple",
        "x = '" + "/ro" + "ot/data'",
        "AK" + "IA" + "A1" * 8,
        '"account": "' + "1" * 12 + '"',
        "arn:aws:iam::" + "9" * 12 + ":role/x",
        "+44" + "20" + "79460000",
        "jane.doe" + "@" + "mail.company.co",
    ],
)
def test_what_belongs_to_one_machine_account_or_person_is_found(tmp_path: Path, stray: str) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/stray.sh", tmp_path / "scripts")
    good = "docs/work/root.md\narn:aws:iam::000000000000:role/x 123456789012\n+447700900123 a@example.org x@db.example.com\n"
    (tmp_path / "good.txt").write_text(good + "1234567890123 0.123456789012 a" + "1" * 12 + "\n", encoding="utf-8")
    assert run("sh", tmp_path / "scripts/stray.sh", PATH=os.environ["PATH"]).returncode == 0
    (tmp_path / "bad.txt").write_text(f"{stray}\n", encoding="utf-8")
    result = run("sh", tmp_path / "scripts/stray.sh", PATH=os.environ["PATH"])
    assert result.returncode == 1
    assert "bad.txt:1:" in result.stdout

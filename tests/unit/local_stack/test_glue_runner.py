"""The rules of the Glue runner: environment, arguments, error lines, states."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pyspark
import pytest

from local_stack.aws.glue_launcher import ScriptEnd, describe
from local_stack.aws.glue_runner import GlueRunner, log_path, outcome, script_arguments
from local_stack.aws.job_environment import RunnerSettings, job_environment, spark_submit_args
from scripts.class_archive import with_java_option

SEE = " (out of memory? see the run's log)"


class Odd(Exception):  # noqa: N818 - a name of its own
    """An exception of a module."""


class Unspeakable(Exception):  # noqa: N818 - as above
    """One that asks for its message when it is read, as py4j's does."""

    def __str__(self) -> str:
        raise ConnectionRefusedError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("first line\nsecond line"), "ValueError: first line\nsecond line"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
        (SystemExit("\tthe table is missing"), "SystemExit: \tthe table is missing"),
        (SystemExit(2), "SystemExit: 2"),
        (Odd("x"), f"{__name__}.Odd: x"),
        (Unspeakable(), f"{__name__}.Unspeakable: Java has ended, and what it said of this is lost{SEE}"),
        (ValueError("x" * 2000), "ValueError: " + "x" * 987 + "…"),
    ],
)
def test_an_exception_is_described_as_glue_does(error: BaseException, expected: str) -> None:
    assert describe(error) == expected


@pytest.mark.parametrize(
    ("code", "error", "timed_out", "stopped", "expected"),
    [
        (0, "", False, False, ("SUCCEEDED", "")),
        (1, "why", False, False, ("FAILED", "why")),
        (3, "", False, False, ("FAILED", "The script ended with exit code 3 and said nothing.")),
        (-9, "", False, False, ("FAILED", "The process was killed by SIGKILL (out of memory?)")),
        (-11, "", False, False, ("FAILED", "The process was killed by SIGSEGV")),
        (-15, "", True, False, ("TIMEOUT", "The job run took longer than its time limit.")),
        (-15, "", False, True, ("STOPPED", "The job run was stopped.")),
    ],
)
def test_outcome(code: int, error: str, timed_out: bool, stopped: bool, expected: tuple[str, str]) -> None:
    assert outcome(code, ScriptEnd(error), timed_out, stopped) == expected


@pytest.mark.parametrize(
    ("spark", "insists", "state"), [(False, False, "SUCCEEDED"), (False, True, "FAILED"), (True, True, "SUCCEEDED")]
)
def test_a_runner_that_insists_fails_a_script_without_spark(spark: bool, insists: bool, state: str) -> None:
    found, error = outcome(0, ScriptEnd(spark=spark), timed_out=False, stopped=False, insists=insists)
    assert found == state
    assert ("spark context" in error) is (state == "FAILED")


def test_the_arguments_are_glues() -> None:
    """Glue passes the name of an empty argument on and drops its value."""
    arguments = {"--execution": "r", "--accept_deletes": "", "--full_compare": "false"}
    assert script_arguments("/jobs/extract.py", arguments) == [
        "/jobs/extract.py",
        "--execution",
        "r",
        "--accept_deletes",
        "--full_compare",
        "false",
    ]


@pytest.mark.parametrize(
    ("execution", "folder"), [("20261122T170000.1Z", "20261122T170000.1Z"), ("../../etc", "_.._etc"), ("..", "_")]
)
def test_logs_stay_below_the_state_directory(tmp_path: Path, execution: str, folder: str) -> None:
    assert log_path(tmp_path, execution, "/jobs/load.py") == tmp_path / "logs" / folder / "load.log"


def test_jobs_see_a_small_environment_only(tmp_path: Path) -> None:
    settings = RunnerSettings(state_dir=tmp_path, endpoint="http://127.0.0.1:1", class_archive=tmp_path / "none")
    outer = {
        "PATH": "/bin",
        "HOME": "/home/a",
        "TZ": "Asia/Tokyo",
        "COVERAGE_PROCESS_START": "cfg",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_PROFILE": "production",
        "PGPASSWORD": "hunter2",
        "HTTPS_PROXY": "http://proxy",
    }
    found = job_environment(settings, outer)
    assert {name: found[name] for name in ("PATH", "HOME", "TZ", "COVERAGE_PROCESS_START")} == {
        "PATH": "/bin",
        "HOME": "/home/a",
        "TZ": "Asia/Tokyo",
        "COVERAGE_PROCESS_START": "cfg",
    }
    assert "real" not in found.values()
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert not {"AWS_PROFILE", "PGPASSWORD", "HTTPS_PROXY"} & found.keys()
    assert "SharedArchiveFile" not in found["PYSPARK_SUBMIT_ARGS"]


ODD = 'it\'s "my" $HOME 100% `work` \\ ${HOME}'


def as_spark_reads(submit_args: str, folder: Path) -> dict[str, list[str]]:
    """Give the words of Java's command line as Spark's own launcher puts them together, by what they begin with."""
    words = shlex.split(submit_args)  # as pyspark's java_gateway does it
    spark = Path(str(pyspark.__file__)).parent
    done = subprocess.run(  # noqa: S603 - Spark's own
        [spark / "bin" / "spark-class", "org.apache.spark.deploy.SparkSubmit", *words],
        env={**os.environ, "SPARK_PRINT_LAUNCH_COMMAND": "1", "JAVA_HOME": str(echo_in_place_of_java(folder))},
        capture_output=True,
        check=True,
    )
    found = done.stdout.decode().split("\0")
    begins = ("-cp", "-D", "-XX:", "spark.local.dir=")
    return {begin: [word for word in found if word.startswith(begin)] for begin in begins} | {"all": found}


def echo_in_place_of_java(folder: Path) -> Path:
    """Make a Java that runs Spark's launcher, and in place of Spark prints the words it was called with."""
    java = shutil.which("java", path=f"{os.environ.get('JAVA_HOME', '')}/bin{os.pathsep}{os.environ['PATH']}")
    program = folder / "java" / "bin" / "java"
    program.parent.mkdir(parents=True)
    launches = 'case "$*" in *launcher.Main*) exec "$REAL" "$@" ;; esac\nprintf "%s\\0" "$@"\n'
    program.write_text(f"#!/bin/sh\nREAL={shlex.quote(str(java))}\n{launches}", encoding="utf-8")
    program.chmod(0o755)
    return folder / "java"


def test_odd_folder_names_reach_java_as_they_are(tmp_path: Path) -> None:
    """Quoted twice: pyspark takes the options apart, then Spark's launcher those for Java."""
    odd = tmp_path / ODD
    odd.mkdir()
    archive, draft, tmp = odd / "spark.jsa", odd / "spark.new", odd / "tmp"
    archive.touch()
    submit = spark_submit_args(
        RunnerSettings(state_dir=odd, endpoint="http://127.0.0.1:1", jars_dir=odd / "jars", class_archive=archive)
    )
    found = as_spark_reads(with_java_option(submit, f"-XX:ArchiveClassesAtExit={draft}"), tmp_path)
    assert f"-Djava.io.tmpdir={tmp}" in found["-D"]
    assert f"-XX:SharedArchiveFile={archive}" in found["-XX:"]
    assert f"-XX:ArchiveClassesAtExit={draft}" in found["-XX:"]
    assert found["spark.local.dir="] == [f"spark.local.dir={tmp}"]
    assert found["all"][found["all"].index("-cp") + 1].startswith(f"{odd}/jars/*:")


def test_a_job_runs_in_an_odd_folder(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    runner = GlueRunner(RunnerSettings(state_dir=folder / "state", endpoint="http://127.0.0.1:1"))
    script = folder / "job.py"
    script.write_text("import os, sys, tempfile\nprint(os.getcwd(), sys.argv[0], tempfile.gettempdir(), sep='\\n')\n")
    (folder / "state").mkdir()
    run = runner.start("r", str(script), {}, 1)
    assert run.done.wait(30)
    assert (run.state, run.error) == ("SUCCEEDED", "")
    written = run.log.read_text().splitlines()
    assert written[1:-1] == [str(folder / "state"), str(script), str(folder / "state" / "tmp")]


def test_a_class_archive_is_used_when_there_is_one(tmp_path: Path) -> None:
    archive = tmp_path / "spark.jsa"
    archive.touch()
    settings = RunnerSettings(state_dir=tmp_path, endpoint="http://127.0.0.1:1", class_archive=archive)
    assert f"-XX:SharedArchiveFile={archive}" in job_environment(settings, {})["PYSPARK_SUBMIT_ARGS"]


def test_spark_submit_args(tmp_path: Path) -> None:
    settings = RunnerSettings(
        state_dir=tmp_path / "s s",
        endpoint="http://127.0.0.1:7",
        store="http://127.0.0.1:8",
        jars_dir=tmp_path / "a b",
    )
    words = shlex.split(spark_submit_args(settings))
    assert words[-1] == "pyspark-shell"
    assert words[words.index("--master") + 1] == "local[2]"
    assert words[words.index("--driver-class-path") + 1] == f"{tmp_path}/a b/*"
    conf = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--conf")
    assert conf["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:8"
    assert conf["spark.sql.catalog.lake.s3.endpoint"] == "http://127.0.0.1:8"
    assert conf["spark.sql.catalog.lake.glue.endpoint"] == "http://127.0.0.1:7"
    assert not [name for name in conf if "region" in name], "a session says it itself, here as on Glue"
    java = shlex.split(words[words.index("--driver-java-options") + 1])
    assert f"-Djava.io.tmpdir={tmp_path}/s s/tmp" in java

"""Java's archive of the classes that the jobs load, made once when an environment is set up.

Owns ``<environment>/spark.jsa`` (AppCDS, about 250 MB): the classes, already parsed and verified. With it a cold job
starts in about half the time; without it, or with one that no longer fits Java or the jars, everything works as before,
only slower. It is in the cache that all clones share, and the environment has a link to it. Java takes an archive where
the files that it names are there, and are the class path's own (the same files on disk): those of uv's environments
are, by hard links. So it names hard links, too, which stay in the cache when the clone that made it goes. An
environment whose files are others (made by pip, or on another file system than the cache) makes an archive of its own.
Run: ``python -m scripts.class_archive --digest TEXT`` (needs the jars in place).

The classes are those of two real ticks on the simulated source, for one fact and what it refers to: extract and
transform, in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess  # nosec B404 # runs this module again as a job
import sys
import sysconfig
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local_stack import lifecycle
from local_stack.aws.job_environment import FAST_START, RunnerSettings, job_environment
from local_stack.simulator.day import BusinessDay
from local_stack.stack import Stack
from scripts.ivy import java, say
from scripts.jars import cache_root, link, remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.model.definition import Model

_SPARK: Final = Path(sysconfig.get_path("purelib"), "pyspark")


def provide(place: Path, shared: Path) -> None:
    """Lead ``place`` to the archive that all clones share, made if there is none; or make one for it alone."""
    with _alone_in(shared.parent) as ours:
        if ours and not shared.exists():
            _say_so()
            with contextlib.suppress(OSError):  # on another file system there are no hard links
                build(shared, _linked(shared.with_suffix("")))
    if shared.exists() and fits(shared):
        if not place.is_symlink():
            place.unlink(missing_ok=True)
        link(shared, place)
    else:
        _say_so()
        build(place, _SPARK)


def _say_so() -> None:
    say("Preloading Spark's classes for faster starts (half a minute, once)")


@contextlib.contextmanager
def _alone_in(cache: Path) -> Iterator[bool]:
    """Keep other set-ups out of the cache; give whether it is ours to write to."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle = (cache / "classes.lock").open("w")
    except OSError:
        yield False
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        remove_abandoned(cache)
        yield True


def _linked(target: Path) -> Path:
    """Make hard links to Spark's programs and jars, for the archive to name."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        for folder in ("bin", "jars"):
            shutil.copytree(_SPARK / folder, Path(scratch, "spark", folder), copy_function=os.link)
        shutil.rmtree(target, ignore_errors=True)
        Path(scratch, "spark").rename(target)
    return target


def fits(archive: Path) -> bool:
    """Whether Java takes an archive for the class path of this environment's jobs."""
    logging = sorted((_SPARK / "jars").glob("slf4j-api-*.jar"))  # Spark's launcher gives it before the others
    paths = [Path(sys.prefix, "jars", "*"), _SPARK / "conf", *logging, _SPARK / "jars" / "*"]
    options = [*FAST_START.split(), "-Xshare:on", f"-XX:SharedArchiveFile={archive}"]
    command = [java(os.environ), *options, "-cp", os.pathsep.join(map(str, paths)), "-version"]
    environment = {"PATH": os.environ["PATH"]}  # as the jobs' Java: no options from outside
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0  # noqa: S603 # nosec B603


def build(target: Path, spark: Path) -> None:
    """Run the workload, with the programs and jars in ``spark``, and let Java write the classes it used to a file.

    Raises
    ------
    RuntimeError
        If the workload fails; with the end of its output.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as beside,
    ):
        state_dir, draft = Path(scratch) / "state", Path(beside) / target.name
        stack = lifecycle.up(state_dir, lifecycle.UpOptions(), lambda _: None)
        try:
            settings = replace(
                RunnerSettings(state_dir=state_dir, endpoint=stack.aws.endpoint, store=stack.aws.store),
                class_archive=state_dir / "none",
                jars_dir=(Path(sys.prefix) / "jars").resolve(),
            )
            environment = job_environment(settings, os.environ) | {"SPARK_HOME": str(spark)}
            submit = environment["PYSPARK_SUBMIT_ARGS"]
            environment["PYSPARK_SUBMIT_ARGS"] = with_java_option(submit, f"-XX:ArchiveClassesAtExit={draft}")
            # Output is a pipe, so this returns when Java has written the archive and ended.
            done = subprocess.run(  # noqa: S603 # nosec B603 # this very module
                [sys.executable, "-m", "scripts.class_archive", "--workload", str(state_dir)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode != 0 or not draft.exists():
                raise RuntimeError("\n".join(done.stdout.splitlines()[-15:]))
            draft.replace(target)
        finally:
            lifecycle.down(state_dir)


def with_java_option(submit_args: str, option: str) -> str:
    """Add an option for Java to a ``PYSPARK_SUBMIT_ARGS``: quoted twice, for pyspark and for Spark's launcher."""
    words = shlex.split(submit_args)
    at = words.index("--driver-java-options") + 1
    words[at] = shlex.join([*shlex.split(words[at]), option])
    return shlex.join(words)


def workload(state_dir: Path) -> None:
    """Do what the jobs do: a first tick, and one with new, changed and deleted rows."""
    # Only the child has Java.
    from tidemark.base import credentials, metrics  # noqa: PLC0415
    from tidemark.base.spark import spark_session  # noqa: PLC0415
    from tidemark.jobs.extract import ExtractRequest, extract  # noqa: PLC0415
    from tidemark.jobs.transform import transform  # noqa: PLC0415

    stack = Stack.attach(state_dir)
    names, model = stack.deployment, _of_one_fact(stack.model)
    spark_session("warm-up", names.processed_uri)
    source, unpublished = credentials.from_secret(names.source_secret), metrics.Metrics(names.pipeline)
    for tick in range(2):
        request = ExtractRequest(execution=f"warm-up-{tick}", landing_format=("parquet", "csv")[tick])
        extract(model, source, stack.landing, request, unpublished)
        transform(model, stack.landing, names.processed_uri, request.execution, unpublished)
        with stack.source_owner.connect() as connection:
            day = BusinessDay(connection)
            day.new_orders(2, 1)
            day.payment_batch()
            day.delete_order()


def _of_one_fact(model: Model) -> Model:
    """Leave of a model its fact that refers to least: the others would load the same classes."""
    fact = min(model.facts.values(), key=lambda fact: len(fact.references))
    wanted = {column.references for column in fact.references}
    dimensions = {name: table for name, table in model.dimensions.items() if name in wanted}
    inputs = {name for table in (fact, *dimensions.values()) for name in table.inputs}
    tables = {name: table for name, table in model.tables.items() if name in inputs}
    return replace(model, tables=tables, dimensions=dimensions, facts={fact.name: fact})


def main() -> None:
    """Provide the archive of this environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--digest", help="of all that the archive depends on")
    wanted.add_argument("--workload", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.workload:
        workload(given.workload)
    else:
        digest = hashlib.sha256(given.digest.encode()).hexdigest()[:16]
        provide(Path(sys.prefix) / "spark.jsa", cache_root(os.environ) / f"classes-{digest}.jsa")


if __name__ == "__main__":
    main()

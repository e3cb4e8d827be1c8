"""Java's archive of the classes that the jobs load, made once when the environment is set up.

Owns ``<environment>/spark.jsa`` (AppCDS, about 250 MB): the classes, already parsed and verified. With it a cold job
starts in about half the time; without it, or with one that no longer fits Java or the jars, everything works as before,
only slower. Run: ``python -m local_stack.class_archive`` (needs the jars in place).

The classes are those of two real ticks on the simulated source, for one fact and what it refers to: extract and
transform, in one process.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess  # nosec B404 # runs this module again as a job
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack import lifecycle
from local_stack.aws.job_environment import RunnerSettings, job_environment
from local_stack.simulator.day import BusinessDay
from local_stack.stack import Stack

if TYPE_CHECKING:
    from tidemark.model.definition import Model


def build(target: Path) -> None:
    """Run the workload against a stack of its own and let Java write the classes it used to a file.

    Raises
    ------
    RuntimeError
        If the workload fails; with the end of its output.
    """
    with tempfile.TemporaryDirectory() as scratch:
        state_dir = Path(scratch) / "state"
        stack = lifecycle.up(state_dir, lifecycle.UpOptions(), lambda _: None)
        try:
            settings = replace(
                RunnerSettings(state_dir=state_dir, endpoint=stack.aws.endpoint, store=stack.aws.store),
                class_archive=state_dir / "none",
            )
            environment = job_environment(settings, os.environ)
            draft = target.with_suffix(".new")
            submit = environment["PYSPARK_SUBMIT_ARGS"]
            environment["PYSPARK_SUBMIT_ARGS"] = with_java_option(submit, f"-XX:ArchiveClassesAtExit={draft}")
            # Output is a pipe, so this returns when Java has written the archive and ended.
            done = subprocess.run(  # noqa: S603 # nosec B603 # this very module
                [sys.executable, "-m", "local_stack.class_archive", "--workload", str(state_dir)],
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
    """Build the archive of this environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args().workload
    if given:
        workload(given)
    else:
        build(Path(sys.prefix) / "spark.jsa")


if __name__ == "__main__":
    main()

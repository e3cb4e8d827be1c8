"""Java's archive of Spark's classes, made once when the environment is set up.

Owns ``<environment>/spark.jsa`` (AppCDS, about 200 MB): the classes that a job loads, already parsed and verified. With
it a cold Spark session costs about a third less; without it, or with one that no longer fits Java or the jars,
everything works as before, only slower. Run: ``python -m local_stack.class_archive`` (needs the jars in place).
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess  # nosec B404 # runs this module again as a job
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from local_stack.aws import LocalAws
from local_stack.glue_runner import RunnerSettings, job_environment
from local_stack.server import LocalServer


def build(target: Path) -> None:
    """Run a small Spark workload and let Java write the classes it used to a file.

    Raises
    ------
    RuntimeError
        If the workload fails; with the end of its output.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        server = LocalServer(Path(scratch))
        server.start()
        try:
            client = LocalAws(Path(scratch), server.endpoint, os.getpid()).client("s3")
            client.create_bucket(Bucket="warmup", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
            settings = replace(
                RunnerSettings(state_dir=Path(scratch), endpoint=server.endpoint), class_archive=Path(scratch) / "none"
            )
            environment = job_environment(settings, os.environ)
            draft = target.with_suffix(".new")
            environment["PYSPARK_SUBMIT_ARGS"] = environment["PYSPARK_SUBMIT_ARGS"].replace(
                "-Xshare:auto", f"-Xshare:auto -XX:ArchiveClassesAtExit={draft}"
            )
            # Output is a pipe, so this returns when Java has written the archive and ended.
            done = subprocess.run(  # noqa: S603 # nosec B603 # this very module
                [sys.executable, __file__, "--workload"],
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
            server.stop()


def workload() -> None:
    """Touch what the jobs touch: SQL, Parquet and CSV on S3, the JDBC driver, Iceberg on the Glue catalog, MERGE."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only the child has Java

    spark = (
        SparkSession.builder.config(
            "spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
        )
        .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
        .config("spark.sql.catalog.lake.type", "glue")
        .config("spark.sql.catalog.lake.warehouse", "s3://warmup/lake")
        .config("spark.sql.catalog.lake.io-impl", "org.apache.iceberg.aws.s3.S3FileIO")
        .config("spark.sql.catalog.lake.client.region", "eu-west-2")
        .config("spark.hadoop.fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")
        .getOrCreate()
    )
    spark.sparkContext._jvm.java.lang.Class.forName("org.postgresql.Driver")  # type: ignore[union-attr]  # noqa: SLF001
    rows = spark.range(100).selectExpr(
        "id", "cast(id as decimal(10,2)) as price", "current_timestamp() as at", "md5(cast(id as string)) as hash"
    )
    rows.write.parquet("s3://warmup/landing/p")
    rows.write.option("header", "true").csv("s3://warmup/landing/c")
    spark.read.parquet("s3://warmup/landing/p").createOrReplaceTempView("landed")
    spark.read.option("header", "true").csv("s3://warmup/landing/c").count()
    spark.sql("CREATE NAMESPACE lake.warmup")
    spark.sql(
        "CREATE TABLE lake.warmup.t (id bigint, price decimal(10,2), at timestamp, hash string) USING iceberg "
        "PARTITIONED BY (months(at))"
    )
    spark.sql("INSERT INTO lake.warmup.t SELECT * FROM landed")
    spark.sql(
        "MERGE INTO lake.warmup.t AS t USING (SELECT id + 50 AS id, price, at, hash FROM landed) AS s ON t.id = s.id "
        "WHEN MATCHED AND NOT (t.hash <=> s.hash) THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )
    spark.sql(
        "SELECT count(*), max(v) FROM (SELECT row_number() OVER (PARTITION BY t.id ORDER BY t.at) AS v "
        "FROM lake.warmup.t AS t FULL OUTER JOIN landed AS s ON t.id = s.id)"
    ).collect()
    spark.stop()


def main() -> None:
    """Build the archive of this environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().workload:
        workload()
    else:
        build(Path(sys.prefix) / "spark.jsa")


if __name__ == "__main__":
    main()

"""Settings of the Spark session, and who pays for Spark at all."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tidemark.base.errors import TidemarkError
from tidemark.base.spark import fit_to, java_class, spark_settings, spark_throughout

from local_stack.aws.client import REPO

REGION = "spark.hadoop.fs.s3a.endpoint.region"


@pytest.fixture
def no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


@pytest.mark.parametrize("processed", [None, "s3://lake/processed"])
def test_s3a_works_in_the_region_that_boto3_knows(
    no_region: None, monkeypatch: pytest.MonkeyPatch, processed: str | None
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-southeast-2")
    assert spark_settings(processed)[REGION] == "ap-southeast-2"


def test_a_job_without_a_region_says_so(no_region: None) -> None:
    """S3A would ask us-east-2, and hang in a network that cannot reach it."""
    with pytest.raises(TidemarkError, match=r"^the job does not know its AWS region; expected: AWS_REGION or"):
        spark_settings(None)


@pytest.mark.parametrize("wanted", [None, "false"])
def test_a_job_that_is_not_told_to_starts_no_spark(no_region: None, wanted: str | None) -> None:
    with spark_throughout("load", wanted):
        pass


def test_the_load_imports_no_spark() -> None:
    command = [sys.executable, "-c", "import sys, load; sys.exit('pyspark' in sys.modules)"]
    run = subprocess.run(command, cwd=REPO / "glue_jobs", check=False)  # noqa: S603 - this Python
    assert run.returncode == 0


def test_many_rows_are_worth_several_tasks_and_compiled_code(spark: SparkSession) -> None:
    configured = spark.sparkContext.getConf().get("spark.sql.shuffle.partitions")
    for rows, partitions in ((0, "1"), (50_000, "1"), (50_001, configured), (10**9, configured), (1, "1")):
        fit_to(spark, rows)
        assert spark.conf.get("spark.sql.shuffle.partitions") == partitions
        compiled = str(rows > 50_000).lower()
        parts = spark.sparkContext.defaultParallelism if rows > 50_000 else 1
        assert spark._jsparkSession.leafNodeDefaultParallelism() == parts
        assert spark.conf.get("spark.sql.codegen.wholeStage") == compiled
        plan = spark.range(3).selectExpr("id + 1 AS n")._jdf.queryExecution().executedPlan().toString()
        assert ("*(1)" in plan) is (rows > 50_000), plan


def test_java_is_asked_once_for_a_class_and_for_each_of_its_methods() -> None:
    asked = []

    class Asked:
        """What py4j has in Java's place."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, name: str) -> Asked:
            asked.append(f"{self.name}.{name}")
            return Asked(f"{self.name}.{name}")

        def __call__(self, *arguments: int) -> str:
            return f"{self.name}{arguments}"

    spark: Any = SimpleNamespace(_jvm=Asked("jvm"))
    for _ in range(3):
        assert java_class(spark, "lang.Math").abs(-1) == "jvm.lang.Math.abs(-1,)"
        assert java_class(spark, "lang.Math")(2) == "jvm.lang.Math(2,)"
    assert asked == ["jvm.lang.Math", "jvm.lang.Math.abs"]


def test_wide_rows_are_read_a_few_at_a_time_and_by_iceberg_one_by_one(spark: SparkSession) -> None:
    """Iceberg's batches are a number of rows, which only a table's property says."""
    wide = {"spark.sql.iceberg.vectorization.enabled": "false", "spark.sql.autoBroadcastJoinThreshold": "-1"}
    usual = {name: spark.conf.get(name, None) for name in wide}
    for widest, rows in ((0, "256"), (12 * 2**20, "5"), (0, "256")):
        fit_to(spark, 3000, widest)
        assert spark.conf.get("spark.sql.parquet.columnarReaderBatchSize") == rows
        assert {name: spark.conf.get(name, None) for name in wide} == (usual if rows == "256" else wide)

"""The environment of a job process, and of the Spark in it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local_stack.isolation import ACCESS_KEY, SECRET_KEY, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

_PASSED_ON: Final = ("PATH", "HOME", "JAVA_HOME", "LANG", "TZ")
# A run of seconds never repays the second compiler, nor two cores a parallel collector. Nothing is said about a class
# archive that does not fit: Java then works without it.
# The first compiler alone gets a code cache of 48 MB, which Spark fills in a minute; then Java only interprets. It
# compiles at a third of the usual number of calls: it repays itself at once, and half of a first tick was spent in code
# that was interpreted.
FAST_START: Final = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:CompileThresholdScaling=0.3 "
    "-Xshare:auto -Xlog:disable -Xlog:all=error:stderr "
    # The archive is mapped where it was made for: moved to a random place, all of its pages are touched at every start.
    "-XX:+IgnoreUnrecognizedVMOptions -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0"
)
# Room for what a small run throws away: a collection in the middle of it costs more than the memory.
_ROOM: Final = ("-Xms1g", "-XX:NewSize=640m")


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    """What every job process of one local stack has in common.

    Parameters
    ----------
    state_dir
        Logs and temporary files go below it.
    endpoint, store
        URLs of the local AWS and of its S3; the same if `store` is not given.
    library_dir, jars_dir
        Folders of the ``tidemark`` package (becomes PYTHONPATH) and of Spark's additional jars.
    class_archive
        Java's archive of preloaded classes (AppCDS) for exactly these jars; used if the file is there, and saves about
        a third of a cold start.
    cores, driver_memory
        Size of the Spark session.
    seconds_per_minute
        Length of a minute of a job's time limit; tests make it short.
    keep_warm_seconds
        How long a process that no job uses is kept for the next one: longer than the schedule's interval. 0: each job
        starts its own Java and its own Python.
    imports
        A script: what it imports, a job's Python has imported already. None: each starts as on Glue, with nothing.
    insists_on_spark
        Be as strict as YARN under Glue: a script that ends well without ever having started a SparkContext has failed.
    """

    state_dir: Path
    endpoint: str
    store: str = ""
    library_dir: Path = Path(__file__).resolve().parents[2] / "glue_jobs"
    jars_dir: Path = Path(sys.prefix) / "jars"
    class_archive: Path = Path(sys.prefix) / "spark.jsa"
    cores: int = 2
    driver_memory: str = "2g"
    seconds_per_minute: float = 60.0
    insists_on_spark: bool = False
    keep_warm_seconds: float = 1500.0
    imports: Path | None = None

    @property
    def tmp_dir(self) -> Path:
        """Where Spark's scratch files, Java's temporary files and Spark's own (unused) warehouse folder are."""
        return self.state_dir / "tmp"


def job_environment(settings: RunnerSettings, outer: Mapping[str, str]) -> dict[str, str]:
    """Build the whole environment of a job process; a few harmless variables of `outer`, the daemon's, are kept."""
    settings.tmp_dir.mkdir(parents=True, exist_ok=True)
    passed_on = {name: value for name, value in outer.items() if name in _PASSED_ON or name.startswith("COVERAGE_")}
    return passed_on | {
        **variables(settings.endpoint, settings.store),
        "PYTHONPATH": str(settings.library_dir),
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": spark_submit_args(settings),
        "SPARK_LAUNCHER_OPTS": FAST_START,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(settings.tmp_dir),
    }


def spark_submit_args(settings: RunnerSettings) -> str:
    """Put all that Spark must know because it runs here and not in Glue into ``PYSPARK_SUBMIT_ARGS``."""
    cores, store, scratch = str(settings.cores), settings.store or settings.endpoint, settings.tmp_dir
    conf = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Nobody looks at a web page that is not there: so nothing is kept up to date for it.
        "spark.ui.liveUpdate.period": "-1",
        "spark.sql.ui.explainMode": "simple",
        "spark.sql.shuffle.partitions": cores,
        "spark.sql.adaptive.enabled": "false",
        # Nor does it pay to ask first which files a merge will meet.
        "spark.sql.optimizer.runtime.rowLevelOperationGroupFilter.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "spark-warehouse"),
        "spark.hadoop.fs.s3a.endpoint": store,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "spark.hadoop.fs.s3a.access.key": ACCESS_KEY,
        "spark.hadoop.fs.s3a.secret.key": SECRET_KEY,
        "spark.sql.catalog.lake.glue.endpoint": settings.endpoint,
        "spark.sql.catalog.lake.s3.endpoint": store,
        "spark.sql.catalog.lake.s3.path-style-access": "true",
    }
    # A class path with a wildcard costs no copying, unlike --jars.
    words = ["--master", f"local[{cores}]", "--driver-memory", settings.driver_memory]
    words += ["--driver-class-path", str(settings.jars_dir / "*")]
    java = [*FAST_START.split(), *_ROOM, f"-Djava.io.tmpdir={scratch}"]
    if settings.class_archive.exists():
        java.append(f"-XX:SharedArchiveFile={settings.class_archive}")
    words += ["--driver-java-options", shlex.join(java)]
    words += [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    return shlex.join([*words, "pyspark-shell"])

"""Running out of memory is known by many words, and told in one sentence."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark.errors import PySparkException
from tidemark.base import memory
from tidemark.base.errors import LakeError, MemoryShortError, SourceError
from tidemark.model.loader import load_model
from tidemark.source.reading import reading_failed

from tests.shop import SHOP_MODEL


def of_a_java_that_is_gone() -> Py4JJavaError:
    def send_command(_: str) -> str:
        raise ConnectionRefusedError

    return Py4JJavaError(
        "An error", SimpleNamespace(_gateway_client=SimpleNamespace(send_command=send_command), _target_id="o1")
    )


SHORT = [
    MemoryError(),
    ConnectionRefusedError(111, "Connection refused"),
    Py4JNetworkError("Answer from Java side is empty"),
    Py4JNetworkError("An error occurred while trying to connect to the Java server (127.0.0.1:1)"),
    Py4JError("An error occurred while calling o81.save"),
    PySparkException("Job aborted: java.lang.OutOfMemoryError: Java heap space"),
    PySparkException("ExecutorLostFailure (executor 1 exited) Reason: Command exited with code 52"),
    PySparkException("Job 3 cancelled because SparkContext was shut down"),
    of_a_java_that_is_gone(),
]
OTHERS = [
    PySparkException("Connection to 127.0.0.1:5432 refused"),
    Py4JError("An error occurred while calling o81.save. Trace:\nMethod save([]) does not exist"),
    ValueError("two changes have the same key"),
    LakeError("java.lang.OutOfMemoryError"),
]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_memory_that_ran_out_names_what_was_under_way(error: Exception) -> None:
    work = memory.Work("transform")
    with work.on("mirror done"):
        pass
    told = (
        "the job's memory ran out, or its Java was ended, during the work on mirror notes (rows of up to 12,582,912 "
        "bytes), mirror orders; expected: rows that fit the job's memory a few at a time; to do: give the transform job "
        "workers with more memory, or leave its widest columns out of source.yml; the next tick repeats."
    )
    with (
        work.on("mirror notes", 12 * 2**20),
        pytest.raises(MemoryShortError, match=f"^{re.escape(told)}$"),
        work.on("mirror orders"),
    ):
        raise error


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as found, memory.Work("load").on("fact_order"):
        raise error
    assert found.value is error


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_the_extract_follows_the_same_rule(error: Exception) -> None:
    told = reading_failed(load_model(str(SHOP_MODEL)).tables["orders"], error)
    assert isinstance(told, SourceError)
    assert '"orders" failed: memory ran out, or Java was ended; expected: rows that fit' in str(told)
    assert "give the extract job workers with more memory" in str(told)
    assert "nothing was landed" in str(told)

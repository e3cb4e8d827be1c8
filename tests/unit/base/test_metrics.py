"""Metrics: published once, at the end of a job, whatever the end is; never the reason why a run fails."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError
from tidemark.base import metrics
from tidemark.base.errors import ShrinkError
from tidemark.base.metrics import Metrics, job_metrics

PIPELINE = "tidemark-shop-test"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, aws: None) -> list[dict[str, Any]]:
    """What is put, request by request; it goes on to moto."""
    requests: list[dict[str, Any]] = []
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "PutMetricData":
            requests.append(parameters)
        return real(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return requests


def values(requests: list[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    """Value by name and the dimensions beside the pipeline; every datum must have the pipeline."""
    found = {}
    for request in requests:
        assert request["Namespace"] == "Tidemark"
        for datum in request["MetricData"]:
            pairs = {pair["Name"]: pair["Value"] for pair in datum["Dimensions"]}
            assert pairs.pop("Pipeline") == PIPELINE
            found[datum["MetricName"], *pairs.values()] = datum["Value"]
    return found


def test_a_job_publishes_once_at_its_end(sent: list[dict[str, Any]]) -> None:
    with job_metrics("extract", PIPELINE) as found:
        found.rows(metrics.ROWS_READ, {"payment": 3, "address": 4})
        found.rows(metrics.ROWS_QUARANTINED, {})
        assert sent == []
    assert len(sent) == 1
    published = values(sent)
    assert published.pop(("Duration", "extract")) >= 0
    assert published == {
        ("RowsRead", "payment"): 3,
        ("RowsRead", "address"): 4,
        ("RowsRead",): 7,
        ("RowsQuarantined",): 0,
        ("Failures", "extract"): 0,
    }


def test_cloudwatch_has_them(sent: list[dict[str, Any]]) -> None:
    with job_metrics("load", "tidemark-of-its-own"):
        pass
    client = boto3.client("cloudwatch")
    listed = client.list_metrics(
        Namespace="Tidemark", Dimensions=[{"Name": "Pipeline", "Value": "tidemark-of-its-own"}]
    )["Metrics"]
    assert {item["MetricName"] for item in listed} == {"Duration", "Failures"}


@pytest.mark.parametrize(("error", "shrunk"), [(ValueError("no"), False), (ShrinkError("shrank"), True)])
def test_a_job_that_fails_publishes_that_and_still_fails(
    sent: list[dict[str, Any]], error: Exception, shrunk: bool
) -> None:
    def job() -> None:
        with job_metrics("extract", PIPELINE) as found:
            found.rows(metrics.ROWS_READ, {"payment": 3})
            raise error

    with pytest.raises(type(error)):
        job()
    assert len(sent) == 1
    published = values(sent)
    assert published["Failures", "extract"] == 1
    assert published["RowsRead", "payment"] == 3
    assert published.get(("ShrinkGuardHits",)) == (1 if shrunk else None)


def test_a_job_that_is_interrupted_publishes_too(sent: list[dict[str, Any]]) -> None:
    with pytest.raises(SystemExit), job_metrics("load", PIPELINE):
        raise SystemExit(3)
    assert values(sent)["Failures", "load"] == 1


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no, not you"}}, "PutMetricData"),
        EndpointConnectionError(endpoint_url="https://monitoring"),
    ],
)
def test_metrics_that_cannot_be_published_cost_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, aws: None, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    with caplog.at_level(logging.WARNING), job_metrics("load", PIPELINE) as found:
        found.record(metrics.FRESHNESS, 1, "Seconds")
    (line,) = caplog.records
    assert line.getMessage().startswith(f"metrics were not published ({type(error).__name__}); alarms may ring")
    assert found.data == []


def test_many_values_go_in_requests_that_cloudwatch_takes(sent: list[dict[str, Any]]) -> None:
    found = Metrics(PIPELINE)
    found.rows(metrics.ROWS_READ, {f"table_{number}": number for number in range(2100)})
    found.publish()
    assert [len(request["MetricData"]) for request in sent] == [1000, 1000, 101]
    assert values(sent)["RowsRead",] == sum(range(2100))
    assert found.data == []


@pytest.mark.parametrize(("ago", "seconds"), [(3600, 3600), (-300, 0)])
@pytest.mark.parametrize("as_text", [False, True])
def test_an_age_is_never_negative_whatever_the_sources_clock_says(ago: int, seconds: float, as_text: bool) -> None:
    found = Metrics(PIPELINE)
    since = datetime.now(UTC) - timedelta(seconds=ago)
    found.age(metrics.CUT_AGE, since.astimezone().isoformat() if as_text else since)
    assert found.data[0]["Value"] == pytest.approx(seconds, abs=60)
    assert found.data[0]["Unit"] == "Seconds"

"""Ad-hoc queries: a workgroup that encrypts and limits, and the questions people ask most, saved."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_athena as athena
from constructs import Construct
from tidemark.base import quoting as names
from tidemark.model.loader import load_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_s3 as s3
    from tidemark.model.definition import Fact, Model

    from cdk_app.storage.catalog import LakeCatalog

QUERIES: Final = Path(__file__).parent / "queries"
_PER_FACT: Final = ("current", "as_of", "history")
_PER_LAKE: Final = ("batches", "quarantine", "freshness")


class AthenaWorkgroup(Construct):
    """A workgroup whose settings clients cannot override, and saved queries for every fact of the model."""

    def __init__(  # long: one construct after the other, nothing is decided
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        results: s3.IBucket,
        key: kms.IKey,
        catalog: LakeCatalog,
        model_dir: Path,
        scan_limit_gb: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.workgroup = athena.CfnWorkGroup(
            self,
            "Workgroup",
            name=name,
            description="Queries of Tidemark's lake",
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=scan_limit_gb * 10**9,
                engine_version=athena.CfnWorkGroup.EngineVersionProperty(
                    selected_engine_version="Athena engine version 3"
                ),
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{results.bucket_name}/",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=key.key_arn
                    ),
                ),
            ),
        )
        database = catalog.star.database_name
        saved = dict(saved_queries(load_model(str(model_dir)), database))
        for (title, text), construct in zip(saved.items(), construct_ids(saved), strict=True):
            query = athena.CfnNamedQuery(
                self,
                construct,
                database=database,
                name=title,
                description=text.splitlines()[0].removeprefix("-- "),
                query_string=text,
                work_group=name,
            )
            query.add_resource_dependency(self.workgroup)

    @property
    def console_url(self) -> str:
        """The workgroup's query editor."""
        region = cdk.Stack.of(self).region
        return f"https://{region}.console.aws.amazon.com/athena/home?region={region}#/query-editor?workgroup={self.workgroup.name}"


def saved_queries(model: Model, database: str) -> Iterator[tuple[str, str]]:
    """Title and text of every saved query; the first line of the text is a comment that says what it shows."""
    for fact in model.facts.values():
        for kind in _PER_FACT:
            yield f"{fact.name}: {kind.replace('_', ' ')}", _query(kind, database, fact)
    for kind in _PER_LAKE:
        yield f"lake: {kind}", _query(kind, database)


def construct_ids(titles: Iterable[str]) -> list[str]:
    """Return the construct ids of saved queries; those of facts whose names differ only in ``_`` are numbered."""
    result: list[str] = []
    for title in titles:
        plain = "Query" + "".join(part.capitalize() for part in title.replace(":", " ").split()).replace("_", "")
        others = (f"{plain}{number}" for number in count(2))
        result.append(next(one for one in chain([plain], others) if one not in result))
    return result


def _query(kind: str, database: str, fact: Fact | None = None) -> str:
    text = Template((QUERIES / f"{kind}.sql").read_text(encoding="utf-8"))
    values = {"database": names.pg(database)}
    if fact is not None:
        values |= {"fact": names.pg(fact.name), "key": ", ".join(map(names.pg, fact.key)), "name": fact.name}
    return text.substitute(values)

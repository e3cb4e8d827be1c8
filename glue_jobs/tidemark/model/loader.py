"""Reads and checks a model folder, from a path or from S3.

Promises: either a consistent :class:`~tidemark.model.definition.Model`, or a
:class:`~tidemark.base.errors.ModelError` that names the file, the table and the column, says what was found and what
is expected. Unknown keys are errors: a typo is never silently ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from tidemark.base.errors import ModelError
from tidemark.model import names as model_names
from tidemark.model.definition import Column, Dimension, Fact, Model, SourceTable
from tidemark.model.folder import Folder, parse
from tidemark.model.time_zones import check_plain, zone_of_column
from tidemark.model.types import PgType, star_type

Name = Annotated[str, StringConstraints(min_length=1, max_length=63)]
# One name, or a list of them.
Names = Annotated[list[Name], BeforeValidator(lambda found: [found] if isinstance(found, str) else found)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ColumnFile(_Strict):
    type: str
    nullable: bool = True
    description: str = Field(min_length=1)
    references: Name | None = None


class _SourceColumnFile(_ColumnFile):
    time_zone: str | None = None


class _SourceTableFile(_Strict):
    description: str = Field(min_length=1)
    key: list[Name] = Field(min_length=1)
    columns: dict[Name, _SourceColumnFile] = Field(min_length=1)
    db_schema: Name | None = Field(default=None, alias="schema")
    relation: Name | None = None
    incremental: Literal["snapshot", "full", "cursor"] = "snapshot"
    cursor: Name | None = None
    cursor_overlap_seconds: int = Field(default=3600, ge=0)
    shrink_guard: float = Field(default=0.1, ge=0, le=1)


class _SourceFile(_Strict):
    name: Name
    description: str = Field(min_length=1)
    db_schema: Name = Field(default="public", alias="schema")
    time_zone: str | None = None
    tables: dict[Name, _SourceTableFile] = Field(min_length=1)


class _DimensionFile(_Strict):
    description: str = Field(min_length=1)
    key: Names = Field(min_length=1)
    driver: Name = Field(alias="from")
    from_key: Names | None = None
    joins: list[Name] = []
    filtered: bool = False
    columns: dict[Name, _ColumnFile] = Field(min_length=1)


class _FactFile(_DimensionFile):
    surrogate_key: Name
    partition_by: Name | None = None


class _StarFile(_Strict):
    date_dimension: Name | None = None
    dimensions: dict[Name, _DimensionFile] = {}
    facts: dict[Name, _FactFile] = {}


def load_model(uri: str, lake_name: str = "") -> Model:
    """Read the model folder at ``uri``: a path, ``s3://bucket/prefix``, or ``s3://bucket/name.zip`` of such a folder.

    Raises
    ------
    ModelError
        If a file is missing or says something that cannot be.
    """
    folder = Folder(uri)
    source = parse(folder, "source.yml", _SourceFile)
    star = parse(folder, "star.yml", _StarFile)
    if not model_names.is_model_name(source.name):
        raise ModelError(
            f"{folder.at('source.yml')}: name is {source.name!r}",
            expected="lower-case letters, digits and _, beginning with a letter: it names schemas and databases "
            f"({', '.join(sorted(model_names.SCHEMAS_TAKEN))} and pg_… are taken)",
            do="give the model another name",
        )
    _check_names(folder, star)
    tables = {name: _source_table(folder, source, name) for name in source.tables}
    dimensions = {name: _dimension(folder, tables, name, spec) for name, spec in star.dimensions.items()}
    facts = {name: _fact(folder, tables, name, spec) for name, spec in star.facts.items()}
    _check_references(folder, star, dimensions, facts)
    _check_partitions(folder, facts)
    return Model(
        name=source.name,
        description=source.description,
        tables=tables,
        dimensions=dimensions,
        facts=facts,
        date_dimension=star.date_dimension,
        digest=folder.digest(),
        lake_name=lake_name,
    )


def _column(name: str, kind: PgType, spec: _ColumnFile, time_zone: str | None = None) -> Column:
    return Column(
        name=name,
        type=kind,
        nullable=spec.nullable,
        description=" ".join(spec.description.split()),
        references=spec.references,
        time_zone=time_zone,
    )


def _source_column(source: _SourceFile, name: str, spec: _SourceColumnFile, where: str) -> Column:
    kind = PgType.parse(spec.type)
    return _column(name, kind, spec, zone_of_column(kind, spec.time_zone, source.time_zone, where))


def _source_table(folder: Folder, source: _SourceFile, name: str) -> SourceTable:
    spec = source.tables[name]
    where = f"{folder.at('source.yml')}: {name}"
    columns = tuple(_source_column(source, own, found, f"{where}.{own}") for own, found in spec.columns.items())
    known = {column.name for column in columns}
    _need(
        model_names.is_source_table(name),
        f"{where}: a name that the lake's catalogue does not take",
        ["lower-case letters, digits and _; the source's own name goes under relation"],
    )
    for column in spec.columns:
        problem = model_names.source_column_problem(column, spec.columns)
        _need(not problem, f"{where}: column {column!r}", [problem])
    _need(not any(column.references for column in columns), f"{where}: references", ["references on facts only"])
    for key in spec.key:
        _need(key in known, f"{where}: key column {key!r} is not among its columns", sorted(known))
    _need(
        spec.incremental != "cursor" or spec.cursor is not None, f"{where}: incremental: cursor without cursor", known
    )
    if spec.cursor is not None:
        _need(spec.cursor in known, f"{where}: cursor {spec.cursor!r} is not among its columns", known)
    return SourceTable(
        name=name,
        schema=spec.db_schema or source.db_schema,
        relation=spec.relation or name,
        description=" ".join(spec.description.split()),
        key=tuple(spec.key),
        columns=columns,
        strategy=spec.incremental,
        cursor=spec.cursor,
        cursor_overlap_seconds=spec.cursor_overlap_seconds,
        shrink_guard=spec.shrink_guard,
    )


def _star_fields(folder: Folder, tables: dict[str, SourceTable], name: str, spec: _DimensionFile) -> dict[str, Any]:
    where = f"{folder.at('star.yml')}: {name}"
    for table in (spec.driver, *spec.joins):
        _need(table in tables, f"{where}: {table!r} is not a table of source.yml", tables)
    columns = tuple(_column(own, star_type(found.type, f"{where}.{own}"), found) for own, found in spec.columns.items())
    for column in columns:
        _need_star_column(where, "column", column.name)
    known = [column.name for column in columns]
    for key in spec.key:
        _need(key in known, f"{where}: key {key!r} is not among its columns", known)
    driver = tables[spec.driver]
    from_key = spec.from_key or spec.key
    shown = repr(from_key[0] if len(from_key) == 1 else from_key)
    _need(
        sorted(from_key) == sorted(driver.key) and len(from_key) == len(spec.key),
        f"{where}: from_key {shown} is not the key of {spec.driver}",
        [", ".join(driver.key)],
    )
    return {
        "name": name,
        "description": " ".join(spec.description.split()),
        "key": tuple(spec.key),
        "columns": columns,
        "sql": folder.text(f"{name}.sql", f"the SELECT of {name} over the source tables").strip().rstrip(";"),
        "driver": spec.driver,
        "from_key": tuple(from_key),
        "joins": tuple(spec.joins),
        "filtered": spec.filtered,
    }


def _need_star_column(where: str, what: str, name: str) -> None:
    problem = model_names.star_column_problem(name)
    _need(not problem, f"{where}: {what} {name!r}", [problem])


def _dimension(folder: Folder, tables: dict[str, SourceTable], name: str, spec: _DimensionFile) -> Dimension:
    where = f"{folder.at('star.yml')}: {name}"
    _need(not any(c.references for c in spec.columns.values()), f"{where}: references", ["references on facts only"])
    return Dimension(**_star_fields(folder, tables, name, spec))


def _fact(folder: Folder, tables: dict[str, SourceTable], name: str, spec: _FactFile) -> Fact:
    fields = _star_fields(folder, tables, name, spec)
    where = f"{folder.at('star.yml')}: {name}"
    inputs = [tables[table] for table in (spec.driver, *spec.joins)]
    check_plain(folder.at("source.yml"), folder.at(f"{name}.sql"), fields["sql"], inputs)
    known = [column.name for column in fields["columns"]]
    if spec.partition_by is not None:
        what = f"{where}: partition_by {spec.partition_by!r}"
        _need(spec.partition_by in known, f"{what} is not among its columns", known)
    _need_star_column(where, "surrogate_key", spec.surrogate_key)
    _need(
        spec.surrogate_key not in known,
        f"{where}: surrogate_key {spec.surrogate_key!r} is also a column",
        ["a name of its own"],
    )
    return Fact(**fields, surrogate_key=spec.surrogate_key, partition_by=spec.partition_by)


def _check_names(folder: Folder, star: _StarFile) -> None:
    """Every star table, with the views and functions made beside it, needs a name of its own."""
    dates = [] if star.date_dimension is None else [star.date_dimension]
    tables = [*dates, *star.dimensions, *star.facts]
    facts = [model_names.FactNames(name, spec.key, spec.surrogate_key) for name, spec in star.facts.items()]
    taken = model_names.taken(tables, facts)
    for name in tables:
        where, good = f"{folder.at('star.yml')}: {name}", model_names.is_star_table(name)
        _need(good, f"{where}: not a table name", ["lower-case letters, digits and _, at most 55, no digit first"])
        _need(
            name not in taken,
            f"{where}: the name is taken",
            [
                "a name that no other star table has, nor what the warehouse makes beside one (<table>_pkey; "
                "<fact>_current, _as_of, _one, _<key>_version_key, _<surrogate_key>_seq), "
                "nor one of Tidemark's own tables (etl_batches, quarantine)"
            ],
        )


def _check_references(
    folder: Folder, star: _StarFile, dimensions: dict[str, Dimension], facts: dict[str, Fact]
) -> None:
    for fact in facts.values():
        for column in fact.references:
            where = f"{folder.at('star.yml')}: {fact.name}.{column.name}"
            if column.references == star.date_dimension:
                _need(
                    column.type.base == "date", f"{where} refers to {column.references}, but is {column.type}", ["date"]
                )
                continue
            _need(
                column.references in dimensions,
                f"{where} refers to {column.references!r}, which is not there",
                dimensions,
            )
            target = dimensions[str(column.references)]
            _need(
                len(target.key) == 1,
                f"{where} refers to {target.name}, whose key is {', '.join(target.key)}",
                ["a dimension whose key is one column"],
            )
            key = target.column(target.key[0])
            fits = column.type.can_refer_to(key.type)
            _need(fits, f"{where} is {column.type}", [f"{key.type}, as {target.name}.{key.name}"])


def _check_partitions(folder: Folder, facts: dict[str, Fact]) -> None:
    for fact in facts.values():
        if fact.partition_by is not None:
            kind, months = fact.column(fact.partition_by).type, fact.partition_by + model_names.MONTHS
            what = f"{folder.at('star.yml')}: {fact.name}: partition_by {fact.partition_by!r} is {kind}"
            _need(kind.base in ("date", "timestamp", "timestamptz"), what, ["a date or a timestamp"])
            _need(
                all(column.name != months for column in fact.columns),
                f"{folder.at('star.yml')}: {fact.name}: column {months!r}",
                [f"another name: the lake's partitions by {fact.partition_by} have this one"],
            )


def _need(condition: bool, what: str, expected: object) -> None:
    if not condition:
        known = ", ".join(str(item) for item in expected) if hasattr(expected, "__iter__") else str(expected)
        raise ModelError(what, expected=known or "nothing", do="correct it; see docs/model.md")

"""The data dictionary of a model: every table and column, as the model describes them.

The model folder is the only source of the text, so the page cannot say anything else than the column comments of lake
and warehouse do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tidemark.lake import tables as lake
from tidemark.model.definition import DATE_COLUMNS, Column, Fact, Model, StarTable
from tidemark.warehouse.postgres import ddl

Row = Sequence[str]


def markdown(model: Model) -> str:
    """Return the whole page."""
    parts = [
        f"# Data dictionary: {model.name}\n",
        f"{model.description}. Written by `tidemark model dictionary`: do not edit it here.\n",
        "* [Star](#star): dimensions and facts, in the warehouse's schema "
        f"`{model.name}` and in the lake's database `{model.star_database}`",
        "* [History columns](#history-columns): what Tidemark adds to every dimension and fact",
        f"* [Source](#source): the tables that are read, mirrored in the lake's database `{model.source_database}`\n",
        "## Star\n",
        "Types are the warehouse's. A column that refers to a dimension is a foreign key.\n",
        *_calendar(model),
        *(line for table in model.star_tables for line in _star_table(model, table)),
        "## History columns\n",
        *_extras(),
        "## Source\n",
        "Types are the source's. In the lake every mirror has one column more: "
        f"`_seq`, {_small(lake.MIRROR_COLUMNS['_seq'][1])}.\n",
        *(line for name in model.tables for line in _source_table(model, name)),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _calendar(model: Model) -> Iterator[str]:
    if model.date_dimension:
        yield f"### {model.date_dimension}\n"
        yield "One row per day of the years that the facts touch, generated. Key: `date_id`.\n"
        yield _table(("Column", "Type", "NULL", "Description"), (_star_row(column)[:4] for column in DATE_COLUMNS))


def _star_table(model: Model, table: StarTable) -> Iterator[str]:
    yield f"### {table.name}\n"
    made_of = ", ".join(f"`{name}`" for name in table.inputs)
    if not isinstance(table, Fact):
        yield f"{table.description}. Key: {_key(table.key)}. Made of {made_of}.\n"
        yield _table(("Column", "Type", "NULL", "Description"), (_star_row(column)[:4] for column in table.columns))
        return
    months = f" Partitioned in the lake by the month of `{table.partition_by}`." if table.partition_by else ""
    yield (
        f"{table.description}. Natural key: {_key(table.key)}; each version's own key in the warehouse: "
        f"`{table.record_id}`. Made of {made_of}.{months}\n"
    )
    yield (
        f"The present rows: view `{model.name}.{table.name}_current`. The rows at a time: "
        f"function `{model.name}.{table.name}_as_of(timestamptz)`.\n"
    )
    heads = ("Column", "Type", "NULL", "Description", "Refers to")
    yield _table(heads, (_star_row(column) for column in table.columns))


def _star_row(column: Column) -> Row:
    refers = f"`{column.references}`" if column.references else ""
    return (f"`{column.name}`", column.type.warehouse, _null(column), column.description, refers)


def _extras() -> Iterator[str]:
    for title, names, described in (
        ("Every fact", ddl.FACT_EXTRA_NAMES, lake.FACT_COLUMNS),
        ("Every dimension but the calendar", ddl.DIMENSION_EXTRA_NAMES, lake.DIMENSION_COLUMNS),
    ):
        yield f"### {title}\n"
        yield _table(("Column", "Type", "Description"), _extra_rows(names, described))


def _extra_rows(names: Iterable[str], described: Mapping[str, tuple[str, str]]) -> Iterator[Row]:
    for name in names:
        kind, text = described[name]
        yield f"`{name}`", ddl.stage_type(kind), text


def _source_table(model: Model, name: str) -> Iterator[str]:
    table = model.tables[name]
    yield f"### {name}\n"
    yield (
        f"{table.description}. Read from `{table.schema}.{table.relation}`, changes found by `{table.strategy}`. "
        f"Key: {_key(table.key)}.\n"
    )
    rows = ((f"`{column.name}`", str(column.type), _null(column), column.description) for column in table.columns)
    yield _table(("Column", "Type", "NULL", "Description"), rows)


def _key(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _null(column: Column) -> str:
    return "yes" if column.nullable else "no"


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _table(heads: Row, rows: Iterable[Row]) -> str:
    lines = [_line(heads), _line(["---"] * len(heads)), *(_line([_cell(cell) for cell in row]) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

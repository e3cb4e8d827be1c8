"""The data dictionary of a model: every table and column, as the model describes them.

The model folder is the only source of the text, so the page cannot say anything else than the column comments of lake
and warehouse do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tidemark.model.added_columns import DATE_COLUMNS, DIMENSION_COLUMNS, FACT_COLUMNS, MIRROR_COLUMNS
from tidemark.model.definition import Column, Fact, Model, StarTable

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
        "Types are the model's. In the warehouse, a column that refers to a dimension is a foreign key.\n",
        *_calendar(model),
        *(line for table in model.star_tables for line in _star_table(model, table)),
        "## History columns\n",
        *_extras(),
        "## Source\n",
        f"Types are the source's. In the lake every mirror has one column more: {_listed(MIRROR_COLUMNS)}.\n",
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
        f"`{table.surrogate_key}`. Made of {made_of}.{months}\n"
    )
    yield (
        f"The present rows: view `{model.name}.{table.name}_current`. The rows at a time: "
        f"function `{model.name}.{table.name}_as_of(timestamptz)`.\n"
    )
    heads = ("Column", "Type", "NULL", "Description", "Refers to")
    yield _table(heads, (_star_row(column) for column in table.columns))


def _star_row(column: Column) -> Row:
    refers = f"`{column.references}`" if column.references else ""
    return (f"`{column.name}`", str(column.type), _null(column), column.description, refers)


def _extras() -> Iterator[str]:
    for title, columns in (("Every fact", FACT_COLUMNS), ("Every dimension but the calendar", DIMENSION_COLUMNS)):
        yield f"### {title}\n"
        rows = ((f"`{one.name}`", str(one.type), one.description) for one in columns if one.in_warehouse)
        yield _table(("Column", "Type", "Description"), rows)


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


def _listed(columns: Iterable[Column]) -> str:
    """Name and meaning of some columns, within a sentence."""
    return "; ".join(f"`{one.name}`, {one.description[:1].lower()}{one.description[1:]}" for one in columns)


def _table(heads: Row, rows: Iterable[Row]) -> str:
    lines = [_line(heads), _line(["---"] * len(heads)), *(_line([_cell(cell) for cell in row]) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

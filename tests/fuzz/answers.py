"""The source's own answers at one cut: its tables, and by PostgreSQL's own SQL what the star must make of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Final

from tests.fuzz.models import mirrored
from tests.fuzz.shop import COLUMNS

if TYPE_CHECKING:
    import psycopg

    from local_stack.postgres.server import Credentials
    from tests.fuzz.models import Model

Row = tuple[Any, ...]

FACT_COLUMNS: Final = (
    *("order_id", "created_date", "created_time", "customer_id", "amount", "due_date", "note"),
    *("shelf", "seller"),
)
DIMENSION_COLUMNS: Final = ("customer_id", "name", "country", "code")
_NOTE: Final = FACT_COLUMNS.index("note")
_FACT: Final = r"""
SELECT order_id, created_at::date, to_char(created_at, 'HH24:MI:SS.US'), customer_id, amount,
       CASE WHEN due ~ '^\d{4}-\d{2}-\d{2}$' AND pg_input_is_valid(due, 'date') THEN due::date END,
       note, shelf, seller, upper(note), last_updated
  FROM orders LEFT JOIN staff USING (customer_id)
"""
_DIMENSION: Final = """
SELECT customer_id, name, label, CASE WHEN pg_input_is_valid(code, 'integer') THEN code::integer END,
       code IS NULL OR pg_input_is_valid(code, 'integer')
  FROM customer LEFT JOIN country USING (country_id)
"""


def plain(value: object) -> object:
    """Bring a value to a form in which source, lake and warehouse can be compared: times are naive, in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return f"{value:%H:%M:%S.%f}" if isinstance(value, time) else value


@dataclass(frozen=True)
class State:
    """The source at one cut: its tables, and what the star must make of them (key -> row), under whatever model."""

    tables: dict[str, list[Row]]
    facts: dict[int, Row]
    loud: dict[int, str | None]
    updated: dict[int, datetime]
    bad_facts: dict[int, Row]
    dimensions: dict[int, Row]
    bad_dimensions: frozenset[int]

    @classmethod
    def take(cls, connection: psycopg.Connection) -> State:
        """Ask the source, in one transaction of its own."""
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            tables = {
                name: connection.execute(f"SELECT {', '.join(columns)} FROM {name}".encode()).fetchall()
                for name, columns in COLUMNS.items()
            }
            facts = connection.execute(_FACT.encode()).fetchall()
            dimensions = connection.execute(_DIMENSION.encode()).fetchall()
        return cls(
            tables,
            {row[0]: tuple(row[:9]) for row in facts if row[5] is not None},
            {row[0]: row[9] for row in facts},
            {row[0]: row[10] for row in facts},
            {row[0]: tuple(row[:9]) for row in facts if row[5] is None},
            {row[0]: tuple(row[:4]) for row in dimensions if row[4]},
            frozenset(row[0] for row in dimensions if not row[4]),
        )

    @classmethod
    def take_from(cls, database: Credentials) -> State:
        """Ask a database in a session of its own."""
        with database.connect() as connection:
            return cls.take(connection)

    def seen(self, model: Model) -> dict[str, Counter[Row]]:
        """The tables as far as a model's manifests tell of them."""
        result = {}
        for name, wanted in mirrored(model).items():
            places = [COLUMNS[name].index(column) for column in wanted]
            result[name] = Counter(tuple(row[place] for place in places) for row in self.tables[name])
        return result

    def fact(self, key: int, model: Model) -> Row:
        """A good row of ``fact_order`` by the SQL of a model."""
        row = self.facts[key]
        return (*row[:_NOTE], self.loud[key], *row[_NOTE + 1 :]) if "loud" in model else row

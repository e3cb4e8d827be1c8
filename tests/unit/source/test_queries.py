"""The snapshot difference's SQL, as text and as PostgreSQL evaluates it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tidemark.model.definition import Column, SourceTable
from tidemark.model.types import PgType
from tidemark.source import queries as sql
from tidemark.source.cut import Cut

from local_stack.postgres.server import EmbeddedPostgres

HALF, WHOLE = 2**31, 2**32
with_database = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def cut(xmin: int, xmax: int, seen: tuple[int, ...] | None = ()) -> Cut:
    return Cut(xmin=xmin, xmax=xmax, time="2026-11-22T10:00:00.000000+00:00", lsn=None, visible_xids=seen)


def scan(spec: SourceTable, changed: str, content_from: str | None = None) -> bytes:
    return sql.scan(spec, changed, content_from, {column.name: column.type for column in spec.columns}).encode()


def table(key: tuple[str, ...] = ("id",), key_type: str = "bigint", cursor: str | None = None) -> SourceTable:
    columns = tuple(
        Column(name=name, type=PgType.parse(kind), nullable=False, description="x")
        for name, kind in ((key[0], key_type), *((name, "text") for name in key[1:]), ("at", "timestamp(3)"))
    )
    return SourceTable(
        name="t", schema="pg_temp", relation='T "x"', description="x", key=key, columns=columns, cursor=cursor
    )


@pytest.fixture(scope="module")
def connection(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with postgres.credentials("postgres").connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("previous", "current", "expected"),
    [
        (cut(10, 12), cut(10, 12), True),
        (cut(10, 12), cut(12, 12), True),
        (cut(10, 12), cut(10, 11), False),  # xmax went back: restored
        (cut(10, 12), cut(5, 9), False),
        (cut(10, 12), cut(50, 10 + HALF - 2), True),
        (cut(10, 12), cut(50, 10 + HALF - 1), False),
        (cut(10, 12), cut(50, 10 + WHOLE), False),
        (cut(WHOLE - 5, WHOLE - 1), cut(WHOLE + 3, WHOLE + 7), True),
    ],
)
def test_cuts_that_can_be_compared(previous: Cut, current: Cut, expected: bool) -> None:
    assert sql.xids_comparable(previous, current) is expected


def holds(connection: psycopg.Connection, condition: str, xid: int) -> bool:
    """Evaluate a condition on ``xmin`` for one raw transaction id."""
    row = connection.execute(f"SELECT {condition} FROM (SELECT '{xid % WHOLE}'::xid AS xmin) t".encode()).fetchone()
    assert row is not None
    return bool(row[0])


windows = st.tuples(st.integers(3, 3 * WHOLE) | st.integers(WHOLE - 50, WHOLE + 50), st.integers(0, HALF - 2))


@with_database
@given(window=windows, offset=st.integers(-60, HALF), seen=st.lists(st.integers(0, 40), max_size=4))
@example(window=(WHOLE - 5, 10), offset=4, seen=[])
@example(window=(WHOLE - 5, 10), offset=5, seen=[])
@example(window=(WHOLE - 5, 10), offset=10, seen=[])
@example(window=(WHOLE - 5, 5), offset=0, seen=[])
@example(window=(WHOLE, 0), offset=0, seen=[])
@example(window=(2 * WHOLE - 3, 40), offset=20, seen=[20])
def test_changed_since_is_the_window_without_what_was_seen(
    connection: psycopg.Connection, window: tuple[int, int], offset: int, seen: list[int]
) -> None:
    start, length = window
    previous = cut(start, start + min(length, 45), tuple(start + number for number in seen))
    current = cut(start + length, start + length)
    xid = start + offset
    expected = 0 <= offset < length and offset not in seen
    if offset - length < WHOLE - HALF:
        assert holds(connection, sql.changed_since(previous, current), xid) is expected


@with_database
@given(
    start=st.integers(3, 3 * WHOLE) | st.integers(WHOLE - 9, WHOLE + 9),
    length=st.integers(1, 50),
    at=st.integers(-9, 60),
)
def test_written_in_is_the_part_that_the_next_window_includes(
    connection: psycopg.Connection, start: int, length: int, at: int
) -> None:
    assert holds(connection, sql.written_in(cut(start, start + length)), start + at) is (0 <= at < length)


def test_without_a_list_of_seen_transactions_all_of_the_window_is_read(connection: psycopg.Connection) -> None:
    condition = sql.changed_since(cut(10, 20, None), cut(20, 20))
    assert [xid for xid in range(5, 25) if holds(connection, condition, xid)] == list(range(10, 20))
    assert sql.changed_since(cut(20, 20, None), cut(20, 20)) == "false"


def test_the_guard_is_an_error_outside_the_snapshot_even_on_an_empty_table(connection: psycopg.Connection) -> None:
    with connection.transaction():
        (text,) = connection.execute("SELECT pg_current_snapshot()::text").fetchone() or ("",)
        connection.execute("CREATE TEMP TABLE nothing (a int) ON COMMIT DROP")
        inside = sql.in_snapshot(str(text)).encode()
        assert connection.execute(b"SELECT 1 WHERE " + inside).fetchone() == (1,)
        outside = sql.in_snapshot("1:1:").encode()
        for query in (b"SELECT 1 WHERE ", b"SELECT a FROM nothing WHERE "):
            with (
                pytest.raises(psycopg.errors.InvalidTextRepresentation, match="outside the exported snapshot: "),
                connection.transaction(),
            ):
                connection.execute(query + outside)


def test_a_scan_counts_and_hashes(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute('CREATE TEMP TABLE "T ""x""" (id bigint, at timestamp(3))')
        spec = table(cursor="at")
        assert connection.execute(scan(spec, "true")).fetchone() == (0, "0", 0, "0", None, None, None, None)
        connection.execute(
            'INSERT INTO "T ""x""" SELECT i, timestamp \'2026-01-01\' + i * interval \'1 hour\''
            " FROM generate_series(-3, 2046) i"
        )
        whole = connection.execute(scan(spec, "id > 2000", "id > 0")).fetchone()
        expected = connection.execute(
            "SELECT count(*), sum(hashint8extended(id, 0))::text, count(*) FILTER (WHERE id > 2000),"
            ' sum(hashint8extended(id, 0)) FILTER (WHERE id > 2000)::text, max(at)::text FROM "T ""x"""'.replace(
                "::text, max", "::text, max"
            ).replace("(WHERE id > 2000)::text", "(WHERE id > 2000)")
        ).fetchone()
        assert whole is not None
        assert expected is not None
        assert (whole[0], whole[1], whole[2], int(whole[3]), whole[5]) == (*expected[:3], int(expected[3]), expected[4])
        grouped = {row[0]: row[1:] for row in connection.execute(sql.grouped_scan(spec, 10, "id > 2000").encode())}
        assert {group: row[0] for group, row in grouped.items()} == {-1: 3, 0: 1024, 1: 1023}
        assert sum(int(row[1]) for row in grouped.values()) == int(whole[1])
        assert {group: row[2] for group, row in grouped.items()} == {-1: 0, 0: 0, 1: 46}
        assert connection.execute(sql.key_bounds(spec).encode()).fetchone() == (-3, 2046)
        some = sql.keys(spec, {"id": PgType("bigint")}, [sql.in_groups(spec, 10, (-1,))])
        assert [row[0] for row in connection.execute(some.encode())] == [-3, -2, -1]


def test_the_contents_hash_sees_every_column_and_null(connection: psycopg.Connection) -> None:
    spec = replace(table(("id", "part"), "text"), name="c")
    hashes = set()
    with connection.transaction(force_rollback=True):
        connection.execute('CREATE TEMP TABLE "T ""x""" (id text, part text, at timestamp(3))')
        rows = [
            ("a", "b", "2026-01-01"),
            ("a", "b", None),
            ("ab", "", "2026-01-01"),
            ("a", ",b", None),
            ("a", None, None),
        ]
        for row in rows:
            connection.execute('DELETE FROM "T ""x"""')
            connection.execute('INSERT INTO "T ""x""" VALUES (%s, %s, %s)', row)
            hashes.add(connection.execute(scan(spec, "true", "true")).fetchone())
    assert len({found[4] for found in hashes if found}) == len(rows)
    assert len({found[1] for found in hashes if found}) == 4  # the key alone: ("a", "b") stands there twice


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 10_000), (-(2**62), 2**62), (0, 2**20), (5, 13_959)])
def test_key_ranges_are_neither_small_nor_many(low: int, high: int) -> None:
    shift = sql.shift_for(low, high)
    assert shift >= 10
    assert (high >> shift) - (low >> shift) <= 257
    assert shift == 10 or (high >> (shift - 1)) - (low >> (shift - 1)) >= 255


def test_the_cursors_window_is_inclusive_and_overlaps(connection: psycopg.Connection) -> None:
    condition = sql.since_cursor(table(cursor="at"), "2026-01-01 10:00:00.5")
    found = connection.execute(
        f"SELECT at::text FROM (SELECT timestamp '2026-01-01 09:00:00.5' + i * interval '1 ms' AS at"
        f" FROM generate_series(-1, 1) i) t WHERE {condition} ORDER BY 1".encode()
    ).fetchall()
    assert found == [("2026-01-01 09:00:00.5",), ("2026-01-01 09:00:00.501",)]
    by_number = sql.since_cursor(replace(table(cursor="id"), cursor_overlap_seconds=5), "41")
    assert by_number == "\"id\" >= '41'"


def test_the_widest_changed_row_is_measured_in_the_columns_that_have_no_bound(connection: psycopg.Connection) -> None:
    kinds = {"id": "bigint", "short": "varchar(20)", "long": "text", "raw": "bytea", "doc": "text"}
    columns = tuple(
        Column(name=name, type=PgType.parse(kind), nullable=True, description="x") for name, kind in kinds.items()
    )
    spec = SourceTable(
        name="t", schema="pg_temp", relation="wide", description="x", key=("id",), columns=columns, cursor=None
    )
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMP TABLE wide (id bigint, short varchar(20), long text, raw bytea, doc jsonb)")
        connection.execute(
            "INSERT INTO wide VALUES (1, 'a', repeat('x', 100), NULL, NULL), (2, 'b', NULL, decode('0102', 'hex'), '[1]'),"
            " (3, 'c', repeat('ä', 500000), NULL, '{}')"
        )
        widest = [(connection.execute(scan(spec, f"id <= {last}")).fetchone() or ())[6] for last in (0, 1, 2, 3)]
    assert widest == [None, 100, 100, 1_000_002]

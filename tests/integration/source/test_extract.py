"""The extract alone: what one cut lands, and what it must never lose, double or leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from tidemark.base import storage
from tidemark.base.errors import ContractError, LandingError, ShrinkError, SourceError
from tidemark.jobs import extract as extraction
from tidemark.landing import files as landing_format
from tidemark.landing.area import Landing
from tidemark.landing.manifest import Manifest
from tidemark.source import few_rows, readers, snapshot
from tidemark.source.cut import Cut

from tests.integration.conftest import Harness, credentials_of

pytestmark = pytest.mark.servers

INSERT = "INSERT INTO orders VALUES ({0}, 1, 9.99, '2026-03-01', 'new', '2026-02-02 10:00', '2026-02-02 10:00')"


def keys(manifest: Manifest, shop: Harness, table: str = "orders") -> list[int]:
    return sorted(row[0] for row in shop.landed(manifest, table))


def modes(manifest: Manifest) -> dict[str, str]:
    return {name: entry.mode for name, entry in manifest.tables.items()}


def test_the_first_run_lands_everything_exactly(shop: Harness) -> None:
    manifest = shop.must_extract()
    assert manifest.batch == 1
    assert modes(manifest) == {"country": "full", "customer": "full", "orders": "full"}
    assert {name: (entry.count, entry.rows) for name, entry in manifest.tables.items()} == {
        "country": (2, 2),
        "customer": (20, 20),
        "orders": (3000, 3000),
    }
    for table in manifest.tables:
        expected = sorted((tuple(row) for row in shop.query(f"SELECT * FROM {table}")), key=repr)
        assert shop.landed(manifest, table) == expected
    assert manifest.tables["orders"].columns["amount"] == "decimal(10,2)"
    assert manifest.tables["orders"].columns["created_at"] == "timestamp_ntz"
    groups = manifest.tables["orders"].groups
    assert groups is not None
    assert {group: rows for group, (rows, _) in groups.items()} == {"0": 1023, "1": 1024, "2": 953}
    files = {file.removeprefix(f"{shop.landing.uri}/") for entry in manifest.tables.values() for file in entry.files}
    assert shop.objects() == {*files, "manifests/0000000001.json", "pending/0000000001"}
    assert shop.landing.latest() == manifest


def test_a_tick_without_change_leaves_a_heartbeat_and_nothing_else(shop: Harness) -> None:
    manifest = shop.must_extract()
    before = shop.objects()
    assert shop.extract() is None
    assert shop.objects() == {*before, "heartbeat.json"}
    heartbeat = shop.landing.last_heartbeat()
    assert heartbeat is not None
    assert (heartbeat["batch"], heartbeat["execution"]) == (1, "run-2")
    assert heartbeat["time"] > manifest.cut.time
    assert shop.extract() is None
    assert shop.objects() == {*before, "heartbeat.json"}


def test_new_changed_and_silently_changed_rows_land_and_no_others(shop: Harness) -> None:
    shop.must_extract()
    shop.execute(
        INSERT.format(4001),
        "UPDATE orders SET note = 'seen', last_updated = '2026-02-02 10:00' WHERE order_id = 7",
        "UPDATE orders SET due = '2026-04-04' WHERE order_id = 8",
    )
    manifest = shop.must_extract()
    assert modes(manifest) == {"country": "none", "customer": "none", "orders": "delta"}
    rows = {row[0]: row for row in shop.landed(manifest, "orders")}
    assert set(rows) == {7, 8, 4001}
    assert rows[8][3] == "2026-04-04"
    assert rows[8][6] == datetime(2026, 1, 10, 9, 8)
    assert rows[4001][2] == Decimal("9.99")
    assert manifest.tables["orders"].keys is None or manifest.tables["orders"].keys.groups == (0,)
    assert manifest.tables["orders"].count == 3001
    assert shop.extract() is None


def test_pure_inserts_land_no_keys(shop: Harness) -> None:
    shop.must_extract()
    shop.execute(*(INSERT.format(key) for key in (3001, 3002, 90_000)))
    manifest = shop.must_extract()
    assert keys(manifest, shop) == [3001, 3002, 90_000]
    assert manifest.tables["orders"].keys is None


@pytest.mark.parametrize("savepoint", [False, True], ids=["plain", "in a subtransaction"])
def test_a_late_commit_is_seen_exactly_once(shop: Harness, savepoint: bool) -> None:
    shop.must_extract()
    with shop.source.connect(autocommit=False) as late:
        if savepoint:
            late.execute("UPDATE orders SET note = 'outer' WHERE order_id = 1")
            late.execute("SAVEPOINT s")
        late.execute(INSERT.format(5001).encode())
        if savepoint:
            late.execute("RELEASE s")
            late.execute("SAVEPOINT gone")
            late.execute(INSERT.format(5099).encode())
            late.execute("ROLLBACK TO gone")
        shop.execute(INSERT.format(5002))
        assert keys(shop.must_extract(), shop) == [5002]
        shop.execute(INSERT.format(5003))
        assert keys(shop.must_extract(), shop) == [5003], "what was seen while the old transaction was open"
        assert shop.extract() is None, "idle although a transaction stays open"
        late.commit()
    expected = [1, 5001] if savepoint else [5001]
    assert keys(shop.must_extract(), shop) == expected
    assert shop.extract() is None


def test_two_phase_commits_and_exception_blocks_are_seen(shop: Harness) -> None:
    shop.must_extract()
    with shop.source.connect(autocommit=False) as late:
        late.execute(INSERT.format(5001).encode())
        late.execute("PREPARE TRANSACTION 'extract_test'")
    shop.execute(
        f"DO $$ BEGIN BEGIN {INSERT.format(5002)}; EXCEPTION WHEN OTHERS THEN NULL; END;"
        f" BEGIN {INSERT.format(5002)}; EXCEPTION WHEN unique_violation THEN NULL; END; END $$"
    )
    assert keys(shop.must_extract(), shop) == [5002]
    shop.execute("COMMIT PREPARED 'extract_test'")
    assert keys(shop.must_extract(), shop) == [5001]
    assert shop.extract() is None


def test_aborted_work_locks_and_vacuum_are_no_change(shop: Harness) -> None:
    shop.must_extract()
    with shop.source.connect(autocommit=False) as connection:
        connection.execute(INSERT.format(5001).encode())
        connection.execute("DELETE FROM orders WHERE order_id < 100")
        connection.rollback()
        connection.execute("SELECT 1 FROM orders WHERE order_id = 5 FOR UPDATE")
        connection.commit()
    shop.execute("VACUUM (FREEZE) orders")
    assert shop.extract() is None


def test_a_delete_lands_the_keys_of_its_range(shop: Harness) -> None:
    shop.must_extract()
    shop.execute("DELETE FROM orders WHERE order_id = 1500", "UPDATE orders SET note = 'x' WHERE order_id = 2900")
    manifest = shop.must_extract()
    listed = manifest.tables["orders"].keys
    assert listed is not None
    assert (listed.groups, listed.shift, listed.rows) == ((1,), 10, 1023)
    assert sorted(row[0] for row in shop.landed(manifest, "orders", keys=True)) == [
        key for key in range(1024, 2048) if key != 1500
    ]
    assert keys(manifest, shop) == [2900]
    assert shop.extract() is None


def test_a_key_that_changes_is_a_new_row_and_a_lost_key(shop: Harness) -> None:
    shop.must_extract()
    shop.execute("UPDATE orders SET order_id = 7000 WHERE order_id = 10")
    manifest = shop.must_extract()
    assert keys(manifest, shop) == [7000]
    listed = manifest.tables["orders"].keys
    assert listed is not None
    assert listed.groups == (0,)
    assert manifest.tables["orders"].count == 3000


def test_a_changed_definition_reads_that_table_in_full(shop: Harness) -> None:
    shop.must_extract()
    shop.execute("ALTER TABLE customer ADD COLUMN extra int DEFAULT 7")
    manifest = shop.must_extract()
    assert modes(manifest) == {"country": "none", "customer": "full", "orders": "none"}
    assert manifest.tables["customer"].why == "its definition changed in the source"
    assert "extra" not in manifest.tables["customer"].columns
    assert shop.extract() is None


def test_a_renamed_swap_reads_in_full(shop: Harness) -> None:
    """Rows with older transaction ids than the last cut, which no window of ids can show."""
    shop.execute(
        "CREATE TABLE other (LIKE country INCLUDING ALL)", "INSERT INTO other VALUES (1, 'Atlantis'), (2, 'Thule')"
    )
    shop.must_extract()
    shop.execute("BEGIN; ALTER TABLE country RENAME TO old; ALTER TABLE other RENAME TO country; COMMIT;")
    shop.execute("GRANT SELECT ON country TO shop_reader")
    manifest = shop.must_extract()
    assert shop.landed(manifest, "country") == [(1, "Atlantis"), (2, "Thule")]


@pytest.mark.parametrize("change", ["system_identifier", "timeline", "started", "database"])
def test_another_server_is_compared_in_full(shop: Harness, change: str) -> None:
    manifest = shop.must_extract()
    where = f"{shop.landing.uri}/manifests/0000000001.json"
    storage.put(where, replace(manifest, identity=replace(manifest.identity, **{change: "other"})).to_json())
    found = shop.must_extract()
    assert set(modes(found).values()) == {"full"}
    assert found.tables["orders"].why == f"another server than before: {change} changed"
    assert found.lake_id == manifest.lake_id


def test_transaction_ids_that_went_back_are_compared_in_full(shop: Harness) -> None:
    manifest = shop.must_extract()
    where = f"{shop.landing.uri}/manifests/0000000001.json"
    # As after a crash, which gives ids out again of transactions that were under way at the cut.
    ahead = replace(manifest.cut, xmax=manifest.cut.xmax + 10**6)
    storage.put(where, replace(manifest, cut=ahead).to_json())
    assert shop.must_extract().tables["orders"].why.startswith("transaction ids cannot be compared (")


def test_a_full_compare_on_request_and_a_changed_model_make_a_manifest(shop: Harness) -> None:
    first = shop.must_extract()
    full = shop.must_extract(full=True)
    assert set(modes(full).values()) == {"full"}
    assert full.full_compare_at > first.full_compare_at
    shop.edit("source.yml", "description: Amount", "description: Amount of money")
    changed = shop.must_extract()
    assert set(modes(changed).values()) == {"none"}
    assert changed.full_compare_at == full.full_compare_at
    assert shop.extract() is None


def test_a_manifest_is_fresh_at_least_daily(shop: Harness) -> None:
    manifest = shop.must_extract()
    where = f"{shop.landing.uri}/manifests/0000000001.json"
    old = replace(manifest.cut, time=manifest.cut.time.replace("20", "19", 1))
    storage.put(where, replace(manifest, cut=old).to_json())
    fresh = shop.must_extract()
    assert (fresh.batch, set(modes(fresh).values())) == (2, {"none"})


def test_everything_that_breaks_the_contract_is_named_at_once(shop: Harness) -> None:
    shop.must_extract()
    shop.execute(INSERT.format(4001))
    before = shop.objects()
    shop.execute(
        "ALTER TABLE orders DROP COLUMN note",
        "ALTER TABLE orders ALTER COLUMN amount TYPE text",
        "ALTER TABLE customer RENAME TO customers",
        "REVOKE SELECT ON country FROM shop_reader",
    )
    with pytest.raises(ContractError) as failed:
        shop.extract()
    message = str(failed.value)
    for part in (
        "table public.customer is missing",
        "column public.orders.note is missing (expected text; found columns: amount, created_at, customer_id, due,",
        "column public.orders.amount is text, expected numeric(10,2)",
        "table public.country may not be read by this user (GRANT USAGE on its schema and SELECT on it)",
        "to do: fix the source or model shop",
    ):
        assert part in message
    assert shop.objects() == before
    shop.execute(
        "ALTER TABLE orders ADD COLUMN note text",
        "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(10,2) USING amount::numeric",
        "ALTER TABLE customers RENAME TO customer",
        "GRANT SELECT ON country TO shop_reader",
    )
    fixed = shop.must_extract()
    assert fixed.tables["orders"].mode == "full"
    assert 4001 in keys(fixed, shop)


def test_a_view_cannot_be_read_by_snapshot(shop: Harness) -> None:
    shop.execute("ALTER TABLE country RENAME TO c", "CREATE VIEW country AS SELECT * FROM c")
    with pytest.raises(
        ContractError, match=r"public\.country is a view or foreign table: declare incremental: full or"
    ):
        shop.extract()


def test_a_wider_type_in_the_source_widens_the_landing(shop: Harness) -> None:
    shop.must_extract()
    shop.execute(
        "ALTER TABLE orders ALTER COLUMN order_id TYPE bigint", "ALTER TABLE orders ALTER amount TYPE numeric(14,2)"
    )
    shop.execute("UPDATE orders SET order_id = 5000000000 WHERE order_id = 1")
    manifest = shop.must_extract()
    assert manifest.tables["orders"].columns["order_id"] == "bigint"
    assert manifest.tables["orders"].columns["amount"] == "decimal(14,2)"
    assert max(keys(manifest, shop)) == 5_000_000_000


def test_an_emptied_table_stops_the_run_until_it_is_accepted(shop: Harness) -> None:
    shop.must_extract()
    before = shop.objects()
    shop.execute("TRUNCATE customer", "DELETE FROM orders WHERE order_id <= 301")
    with pytest.raises(ShrinkError) as failed:
        shop.extract()
    assert str(failed.value) == (
        "source tables shrank beyond their guard: customer fell from 20 to 0 rows; orders fell from 3000 to 2699 rows; "
        "expected: fewer deletes in one tick; to do: if they are meant, start an execution with input "
        '{"accept_deletes": "customer,orders"} (locally: tidemark tick --accept-deletes customer,orders); '
        "nothing was landed."
    )
    assert shop.objects() == before
    with pytest.raises(ShrinkError, match=r"guard: orders fell"):
        shop.extract(accept="customer")
    manifest = shop.must_extract(accept="customer,orders")
    assert (manifest.tables["customer"].count, manifest.tables["orders"].count) == (0, 2699)
    assert shop.landed(manifest, "customer") == []
    assert shop.extract() is None


def test_losses_within_the_guard_pass_and_a_star_accepts_all(shop: Harness) -> None:
    shop.must_extract()
    shop.execute("DELETE FROM orders WHERE order_id <= 300")
    assert shop.must_extract().tables["orders"].count == 2700
    shop.execute("TRUNCATE customer, orders")
    assert shop.must_extract(accept="*").tables["orders"].count == 0


def test_a_source_that_cannot_be_reached_is_named_without_its_password(shop: Harness) -> None:
    secret = "n0t-the-p@ssword"
    with shop.source.connect() as connection:
        place = f"{shop.source.host}:{shop.source.port}/{shop.source.dbname}"
        cases: list[tuple[dict[str, Any], str]] = [
            ({"password": secret}, f"source {place} as shop_reader: user or password is wrong; to do: check username"),
            ({"dbname": "nowhere", "password": secret}, "nowhere as shop_reader: user or password is wrong"),
            ({"port": 1, "password": secret}, ":1/"),
        ]
        reader = shop.reader
        for changes, part in cases:
            values = reader.model_dump() | {"password": reader.password.get_secret_value()} | changes
            shop.reader = type(reader).model_validate(values)
            with pytest.raises(SourceError) as failed:
                shop.extract()
            assert part in str(failed.value)
            assert secret not in str(failed.value)
            assert failed.value.__suppress_context__
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert shop.objects() == set()


def test_a_table_that_stays_locked_is_an_error_and_not_a_wait(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LOCK_PATIENCE_SECONDS", 1)
    with shop.source.connect(autocommit=False) as migration:
        migration.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SourceError, match=r"a table stayed locked by someone else for 1 s"):
            shop.extract()
        migration.rollback()
    assert shop.must_extract().batch == 1


def between_scan_and_read(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    report = extraction._report_surroundings

    def and_then(*arguments: Any) -> None:
        report(*arguments)
        action()

    monkeypatch.setattr(extraction, "_report_surroundings", and_then)


def test_all_tables_are_one_cut(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed while the tables are read belongs to the next tick, all of it."""
    with monkeypatch.context() as patched:
        between_scan_and_read(
            patched,
            lambda: shop.execute(
                INSERT.format(6001), "UPDATE customer SET name = 'later'", "DELETE FROM orders WHERE order_id = 3"
            ),
        )
        first = shop.must_extract()
    assert len(keys(first, shop)) == 3000
    assert all(row[1] != "later" for row in shop.landed(first, "customer"))
    second = shop.must_extract()
    assert keys(second, shop) == [6001]
    assert {row[1] for row in shop.landed(second, "customer")} == {"later"}


@pytest.mark.usefixtures("by_spark")
def test_a_reader_outside_the_snapshot_is_an_error(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark reads in autocommit when fetchsize is 0, and then the exported snapshot silently does not apply."""
    monkeypatch.setattr(readers, "rows_per_fetch", lambda *_: 0)
    between_scan_and_read(monkeypatch, lambda: shop.execute(INSERT.format(6001)))
    with pytest.raises(SourceError, match=r"reading \"public\"\.\"\w+\" failed: .*outside the exported snapshot"):
        shop.extract()
    assert shop.landing.latest() is None
    assert shop.pending() == []


@pytest.mark.usefixtures("by_spark")
def test_more_rows_than_the_scan_counted_are_an_error(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemark.source.queries.in_snapshot", lambda _: "true")
    monkeypatch.setattr(readers, "rows_per_fetch", lambda *_: 0)
    between_scan_and_read(monkeypatch, lambda: shop.execute(INSERT.format(6001)))
    with pytest.raises(SourceError, match=r"\"orders\": 3001 rows were read where the same snapshot counted 3000"):
        shop.extract()
    assert shop.landing.latest() is None


def test_fewer_of_few_rows_than_the_scan_counted_are_an_error(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = few_rows.fetch
    monkeypatch.setattr(few_rows, "fetch", lambda *given: fetch(*given)[1:])
    with pytest.raises(SourceError, match=r": \d+ rows were read where the same snapshot counted \d+; to do: nothing"):
        shop.extract()
    assert shop.landing.latest() is None


def test_few_rows_are_read_without_spark(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemark.jobs.extract.spark_session", lambda _: pytest.fail("nobody needs it"))
    assert shop.must_extract().tables["orders"].rows == 3000
    shop.execute("DELETE FROM orders WHERE order_id = 17", "UPDATE country SET label = 'x'")
    manifest = shop.must_extract()
    assert manifest.tables["orders"].keys is not None
    assert manifest.tables["country"].rows == 2


def test_a_quiet_source_is_asked_to_write_its_log(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a transaction that goes on has logged is in the cut's log; by itself the server is in no hurry with it."""
    monkeypatch.setattr(snapshot, "LSN_WAIT_SECONDS", 5.0)
    for order in (4001, 4002, 4003):
        shop.execute(INSERT.format(order))
        with shop.source.connect() as clerk:
            clerk.execute(b"BEGIN")
            clerk.execute(INSERT.format(4999).encode())
            shop.must_extract()
            clerk.execute(b"ROLLBACK")


def test_of_two_extracts_that_race_one_commits_and_the_next_tick_reads_on(
    shop: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.must_extract()
    shop.execute(INSERT.format(4001))
    other: list[Manifest | None] = []
    wait = snapshot.SourceSnapshot.wait_durable

    def overtaken(self: snapshot.SourceSnapshot) -> None:
        wait(self)
        monkeypatch.setattr(snapshot.SourceSnapshot, "wait_durable", wait)
        other.append(shop.extract())

    monkeypatch.setattr(snapshot.SourceSnapshot, "wait_durable", overtaken)
    with pytest.raises(LandingError, match=r"0000000002\.json was committed by another run meanwhile; to do: nothing"):
        shop.extract()
    assert other[0] is not None
    assert shop.landing.latest() == other[0]
    assert shop.landing.after(0) == [1, 2]
    assert shop.extract() is None


def test_a_run_killed_before_its_commit_leaves_nothing_visible(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.must_extract()
    shop.execute(INSERT.format(4001))
    with monkeypatch.context() as patched:

        def killed(_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(snapshot.SourceSnapshot, "wait_durable", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.extract()
    assert shop.landing.after(0) == [1]
    again = shop.must_extract()
    assert (again.batch, keys(again, shop)) == (2, [4001])


def test_a_run_killed_right_after_its_commit_is_pending_all_the_same(
    shop: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(Landing, "mark_pending", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.extract()
    assert shop.pending() == []
    assert shop.extract() is None
    assert shop.pending() == ["0000000001"]


def test_a_log_that_does_not_reach_the_disk_is_waited_for_and_then_an_error(
    shop: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LSN_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(snapshot, "Cut", lambda **values: Cut(**{**values, "lsn": "FFFF/0"}))
    with pytest.raises(SourceError, match=r"has not written its log up to FFFF/0 to disk; expected: within 0 s"):
        shop.extract()
    assert shop.landing.latest() is None


TYPES = """
CREATE TYPE mood AS ENUM ('happy', 'so ''so''');
CREATE TABLE kinds (
    id bigint PRIMARY KEY, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, m numeric(38,10), b boolean,
    d date, t time(6), ts timestamp(6), tz timestamptz, u uuid, j jsonb, a text[], e mood, x bytea, c char(4), s text);
INSERT INTO kinds VALUES
 (1, -32768, -9223372036854775808, 'NaN', 1.7976931348623157e308, 1e-30, -1234567890123456789012345678.0123456789, true,
  '0001-01-01', '23:59:59.999999', '0001-01-01 00:00:00.000001', '1969-12-31 23:59:59.999999+00',
  '00000000-0000-0000-0000-000000000001', '{"k": "v, \\"w\\""}', '{"a,b",NULL,""}', 'so ''so''', '\\x00ff0a', 'ab', E'a"b,\\n%N\\r%0A'),
 (2, 32767, 9223372036854775807, '-Infinity', 4.9e-324, 12345678901234567890123456789012345678901234567890.5, 0.1, false,
  '9999-12-31', '00:00', '9999-12-31 23:59:59.999999', '2026-03-29 01:30:00+00', NULL, 'null', '{}', 'happy', '', '', ''),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (4, 0, 0, 0.1, 0.1, 'NaN', 0, true, '1582-10-10', '12:00', '1582-10-10 11:12:13.5', '1883-11-18 12:03:58.5+00',
  'ffffffff-ffff-ffff-ffff-ffffffffffff', '[1.0]', '{{1,2},{3,4}}', 'happy', '\\xdeadbeef', ' x', '  %Z "" '' \\ ');
"""
KINDS = """
  kinds:
    description: One column of every kind
    key: [id]
    columns:
      id: {type: bigint, nullable: false, description: x}
"""


def test_csv_lands_the_same_as_parquet_and_both_what_the_source_holds(new_pipeline: Callable[[], Harness]) -> None:
    kinds = (
        "i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, m numeric(38_10), b boolean, d date, t time, "
    )
    kinds += "ts timestamp, tz timestamptz, u uuid, j jsonb, a text[], e mood, x bytea, c char(4), s text"
    listed = [part.replace("_", ",").split(" ", 1) for part in kinds.split(", ")]
    text = KINDS + "".join(f"      {name}: {{type: '{kind}', description: x}}\n" for name, kind in listed)
    found = {}
    for file_format in ("parquet", "csv"):
        pipeline = new_pipeline()
        pipeline.execute(TYPES)
        pipeline.edit("source.yml", "tables:\n", "tables:" + text)
        manifest = pipeline.must_extract(landing_format=file_format)
        entry = manifest.tables["kinds"]
        frame = landing_format.read(pipeline.spark, entry.files, entry.columns, file_format)
        shown = ["i2", "i8", "f4", "f8", "n", "m", "b", "d", "t", "u", "j", "a", "e", "c", "s"]
        exact = [f"CAST({name} AS string) AS {name}" for name in shown]
        exact += ["unix_micros(CAST(ts AS timestamp)) AS ts", "unix_micros(tz) AS tz", "lower(hex(x)) AS x"]
        found[file_format] = [tuple(row) for row in frame.orderBy("id").selectExpr("id", *exact).collect()]
        assert len(pipeline.landed(manifest, "orders")) == 3000
        files = [name for name in pipeline.objects() if name.startswith("data/")]
        assert all(name.endswith(".csv.gz" if file_format == "csv" else ".parquet") for name in files)
    assert found["csv"] == found["parquet"]
    # In two parts: before PostgreSQL 14 an epoch is a double, too short for microseconds of far years.
    micros = "extract(epoch FROM date_trunc('second', {0}))::bigint * 1000000 + extract(microseconds FROM {0})::bigint % 1000000"
    expected = pipeline.query(
        "SELECT id, i2::text, i8::text, f4::text, f8::text, n::text, m::text, b::text, d::text, t::text, u::text, j::text,"
        f" a::text, e::text, c::text, s, {micros.format('ts')}, {micros.format('tz')}, encode(x, 'hex') FROM kinds ORDER BY id"
    )
    skip = {3, 4}  # text forms of floats differ in spelling only
    for row, source in zip(found["csv"], expected, strict=True):
        for column, (ours, theirs) in enumerate(zip(row, source, strict=True)):
            if column in skip and theirs is not None:
                assert repr(float(ours)) == repr(float(theirs))
            else:
                assert ours == theirs, column


def test_a_view_compared_in_full(shop: Harness) -> None:
    shop.execute("CREATE VIEW rich AS SELECT order_id, amount FROM orders WHERE amount > 3700")
    shop.edit(
        "source.yml",
        "tables:\n",
        "tables:\n  rich:\n    description: x\n    key: [order_id]\n    incremental: full\n    columns:\n"
        "      order_id: {type: integer, nullable: false, description: x}\n"
        "      amount: {type: 'numeric(10,2)', description: x}\n",
    )
    first = shop.must_extract()
    assert (first.tables["rich"].mode, first.tables["rich"].rows) == ("full", 40)
    assert shop.extract() is None
    shop.execute("UPDATE orders SET amount = 3799 WHERE order_id = 2999")
    second = shop.must_extract()
    assert (second.tables["rich"].mode, second.tables["rich"].why) == ("full", "contents changed")
    assert len(shop.landed(second, "rich")) == 40
    shop.execute("UPDATE orders SET amount = 1 WHERE order_id = 2999")
    assert shop.must_extract().tables["rich"].count == 39
    shop.execute("UPDATE orders SET note = 'not in the view' WHERE order_id = 2998")
    assert shop.must_extract().tables["rich"].mode == "none"


def test_a_table_read_by_cursor(shop: Harness) -> None:
    shop.execute("CREATE VIEW log AS SELECT order_id, amount, last_updated FROM orders WHERE order_id > 2000")
    shop.edit(
        "source.yml",
        "tables:\n",
        "tables:\n  log:\n    description: x\n    key: [order_id]\n    incremental: cursor\n    cursor: last_updated\n"
        "    cursor_overlap_seconds: 120\n    columns:\n"
        "      order_id: {type: integer, nullable: false, description: x}\n"
        "      amount: {type: 'numeric(10,2)', description: x}\n"
        "      last_updated: {type: timestamp(3), description: x}\n",
    )
    first = shop.must_extract()
    assert (first.tables["log"].mode, first.tables["log"].rows) == ("full", 1000)
    assert first.tables["log"].cursor == "2026-01-12 11:00:00"
    assert shop.extract() is None
    shop.execute(INSERT.format(4001))
    second = shop.must_extract()
    assert second.tables["log"].mode == "delta"
    assert sorted(row[0] for row in shop.landed(second, "log")) == [2998, 2999, 3000, 4001]
    assert shop.extract() is None
    shop.execute("DELETE FROM orders WHERE order_id = 2500")
    third = shop.must_extract()
    listed = third.tables["log"].keys
    assert listed is not None
    assert (listed.groups, listed.rows) == (None, 1000)
    assert shop.extract() is None


def test_a_key_of_several_columns_lists_all_keys_when_one_is_lost(shop: Harness) -> None:
    shop.execute("CREATE TABLE part (a text, b date, n int, PRIMARY KEY (a, b))", "GRANT SELECT ON part TO shop_reader")
    shop.execute("INSERT INTO part SELECT 'p' || i % 5, date '2026-01-01' + i, i FROM generate_series(1, 30) i")
    shop.edit(
        "source.yml",
        "tables:\n",
        "tables:\n  part:\n    description: x\n    key: [a, b]\n    columns:\n"
        "      a: {type: text, nullable: false, description: x}\n"
        "      b: {type: date, nullable: false, description: x}\n"
        "      n: {type: integer, description: x}\n",
    )
    shop.must_extract()
    shop.execute("INSERT INTO part VALUES ('new', '2026-05-05', 1)")
    assert shop.must_extract().tables["part"].keys is None
    shop.execute("DELETE FROM part WHERE n = 30")
    manifest = shop.must_extract()
    listed = manifest.tables["part"].keys
    assert listed is not None
    assert (listed.groups, listed.rows) == (None, 30)
    assert len(shop.landed(manifest, "part", keys=True)) == 30


def test_the_reader_writes_nothing_and_shows_who_it_is(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    between_scan_and_read(
        monkeypatch,
        lambda: seen.extend(
            shop.query(
                "SELECT application_name, usename FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ),
    )
    shop.must_extract()
    assert sorted((name.split(" ")[0], role) for name, role in seen) == [
        ("tidemark-extract", "shop_reader"),
        ("tidemark-watch", "shop_reader"),
    ]
    with (
        psycopg.connect(**shop.reader.libpq("test")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(INSERT.format(1).encode())


def test_no_password_stands_in_what_is_landed(shop: Harness) -> None:
    shop.must_extract()
    secret = shop.reader.password.get_secret_value()
    manifest = storage.get(f"{shop.landing.uri}/manifests/0000000001.json")
    assert manifest is not None
    assert secret.encode() not in manifest
    assert json.loads(manifest)["format"] == 1
    assert credentials_of(shop.source).username not in manifest.decode()

"""The real snapshot and three ticks: every row of every star table against an expectation made by SQL in the source.

At every cut the source itself is asked what its rows are, in the star's published columns; the expected history is
put together from these answers alone, by the rules of the design's section 3.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.fuzz.oracle import Version, next_version
from tests.integration.conftest import Harness

STAMPS: Final = "created_at::date, created_at::time, last_updated::date, last_updated::time"
# Fact -> what its rows are, as the source's own SQL; the last column is the moment of the source's last change.
FACTS: Final = {
    "fact_sales_order": f"SELECT sales_order_id, {STAMPS}, staff_id, counterparty_id, units_sold, unit_price,"
    " currency_id, design_id, agreed_payment_date::date, agreed_delivery_date::date, agreed_delivery_location_id,"
    " last_updated AT TIME ZONE 'UTC' FROM sales_order",
    "fact_purchase_order": f"SELECT purchase_order_id, {STAMPS}, staff_id, counterparty_id, item_code, item_quantity,"
    " item_unit_price, currency_id, agreed_delivery_date::date, agreed_payment_date::date, agreed_delivery_location_id,"
    " last_updated AT TIME ZONE 'UTC' FROM purchase_order",
    "fact_payment": f"SELECT payment_id, {STAMPS}, transaction_id, counterparty_id, payment_amount, currency_id,"
    " payment_type_id, paid, payment_date::date, last_updated AT TIME ZONE 'UTC' FROM payment",
}
ISO: Final = "(VALUES ('GBP', 'Pound Sterling'), ('USD', 'US Dollar'), ('EUR', 'Euro')) AS iso (code, name)"
DIMENSIONS: Final = {
    "dim_staff": "SELECT staff_id, first_name, last_name, department_name, location, email_address"
    " FROM staff JOIN department USING (department_id)",
    "dim_location": "SELECT address_id, address_line_1, address_line_2, district, city, postal_code, country, phone FROM address",
    "dim_currency": f"SELECT currency_id, currency_code, iso.name FROM currency JOIN {ISO} ON code = currency_code",
    "dim_design": "SELECT design_id, design_name, file_location, file_name FROM design",
    "dim_counterparty": "SELECT counterparty_id, counterparty_legal_name, address_line_1, address_line_2, district, city,"
    " postal_code, country, phone FROM counterparty JOIN address ON address_id = legal_address_id",
    "dim_transaction": "SELECT transaction_id, transaction_type::text, sales_order_id, purchase_order_id FROM transaction",
    "dim_payment_type": "SELECT payment_type_id, payment_type_name::text FROM payment_type",
}
HISTORY: Final = "version, valid_from, valid_to, is_current, is_deleted, recorded_batch, closed_batch"


class Expectation:
    """What each fact's history must be, from the source's answers at every cut."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[int, list[Version]]] = {fact: {} for fact in FACTS}

    def observe(self, fact: str, answers: list[tuple[Any, ...]], cut: datetime, batch: int) -> None:
        chains = self.chains[fact]
        present = {answer[0] for answer in answers}
        for answer in answers:
            row, updated = answer[:-1], answer[-1]
            chain = chains.setdefault(row[0], [])
            last = chain[-1] if chain else None
            if last is not None and last.valid_to is None and last.row == row:
                continue
            version = next_version(last, row, updated, batch, cut)
            if last is not None and last.valid_to is None:
                chain[-1] = replace(last, valid_to=version.valid_from, closed_batch=batch)
            chain.append(version)
        for key in set(chains) - present:
            last = chains[key][-1]
            if last.valid_to is None:
                chains[key][-1] = replace(last, valid_to=cut, is_deleted=True, closed_batch=batch)

    def rows(self, fact: str) -> list[tuple[Any, ...]]:
        return [version.published() for key in sorted(self.chains[fact]) for version in self.chains[fact][key]]


def tick(totesys: Harness, expectation: Expectation) -> None:
    """Run the three jobs and hold all of the warehouse against the source."""
    answers = {fact: totesys.query(query) for fact, query in FACTS.items()}
    before = datetime.now(UTC)
    manifest = totesys.tick()
    cut = datetime.fromisoformat(manifest.cut.time)
    assert before - timedelta(seconds=1) < cut < datetime.now(UTC) + timedelta(seconds=1)
    star, warehouse = totesys.model.name, totesys.warehouse()
    for fact in FACTS:
        expectation.observe(fact, answers[fact], cut, manifest.batch)
        spec = totesys.model.facts[fact]
        columns = ", ".join(column.name for column in spec.columns)
        found = totesys.query(
            f"SELECT {columns}, {HISTORY} FROM {star}.{fact} ORDER BY {spec.key[0]}, version", warehouse
        )
        assert found == expectation.rows(fact), fact
        current = totesys.query(f"SELECT {columns} FROM {star}.{fact}_current", warehouse)
        assert sorted(current) == sorted(answer[:-1] for answer in answers[fact])
    for name, query in DIMENSIONS.items():
        columns = ", ".join(column.name for column in totesys.model.dimensions[name].columns)
        found = totesys.query(f"SELECT {columns} FROM {star}.{name} WHERE NOT is_deleted", warehouse)
        assert sorted(found) == sorted(totesys.query(query)), name
    days = totesys.query(f"SELECT date_id FROM {star}.dim_date ORDER BY 1", warehouse)
    years = {
        day.year
        for chains in expectation.chains.values()
        for chain in chains.values()
        for version in chain
        for day in version.row
        if hasattr(day, "year")
    }
    assert {day.year for (day,) in days} == years
    assert len(days) == sum(366 if year % 4 == 0 else 365 for year in years)
    for name in ("address", "transaction", "payment", "sales_order", "purchase_order", "design"):
        (source,) = totesys.query(f"SELECT count(*) FROM {name}")
        assert (
            totesys.lake_table(name, source=True).scan(selected_fields=(f"{name}_id",)).to_arrow().num_rows == source[0]
        )


def test_three_ticks_of_the_real_snapshot(totesys: Harness) -> None:
    expectation = Expectation()
    tick(totesys, expectation)
    assert [len(expectation.rows(fact)) for fact in FACTS] == [9845, 4114, 13959]
    assert totesys.extract() is None

    sales, payment, transaction = totesys.query(
        "SELECT sales_order_id, payment_id, transaction_id FROM sales_order JOIN transaction USING (sales_order_id)"
        " JOIN payment USING (transaction_id) ORDER BY 1 OFFSET 4000 LIMIT 1"
    )[0]
    totesys.execute(
        "CREATE TABLE IF NOT EXISTS kept_sales AS SELECT * FROM sales_order",
        "CREATE TABLE IF NOT EXISTS kept_transaction AS SELECT * FROM transaction",
        "CREATE TABLE IF NOT EXISTS kept_payment AS SELECT * FROM payment",
    )
    with totesys.source.connect(autocommit=False) as late:
        # A whole order, begun before the tick and committed after it.
        late.execute(
            "INSERT INTO sales_order SELECT 90001, created_at + interval '1 h', last_updated + interval '1 h', design_id,"
            " staff_id, counterparty_id, 1234, 2.50, currency_id, '2024-09-30', '2024-09-29', agreed_delivery_location_id"
            " FROM sales_order WHERE sales_order_id = (SELECT max(sales_order_id) FROM sales_order)"
        )
        late.execute("SAVEPOINT order_placed")
        late.execute(
            "INSERT INTO transaction SELECT 90001, 'SALE', 90001, NULL, created_at, last_updated FROM sales_order"
            " WHERE sales_order_id = 90001"
        )
        late.execute(
            "INSERT INTO payment SELECT 90001, s.created_at, s.last_updated, 90001, s.counterparty_id, 3085.00,"
            " s.currency_id, p.payment_type_id, false, '2024-09-29', 12345678, 87654321"
            " FROM sales_order s, payment p WHERE sales_order_id = 90001 AND payment_id = 1"
        )
        late.execute("RELEASE order_placed")
        totesys.execute(
            # Visible: the 07:55 batch.
            "UPDATE payment SET paid = true, last_updated = clock_timestamp() AT TIME ZONE 'UTC' WHERE payment_id IN"
            " (SELECT payment_id FROM payment WHERE NOT paid ORDER BY 1 DESC LIMIT 20)",
            # Silent: last_updated stays as it was.
            "UPDATE sales_order SET design_id = design_id % 400 + 1 WHERE sales_order_id IN (5, 4321)",
            "UPDATE purchase_order SET item_code = '0012345', agreed_delivery_date = '2027-02-28' WHERE purchase_order_id = 77",
            "UPDATE design SET file_location = '/elsewhere' WHERE design_id = 3",
            "UPDATE department SET department_name = 'Renamed' WHERE department_id = 2",
            "UPDATE address SET postal_code = '00001' WHERE address_id <= 15",
            "UPDATE staff SET last_name = 'O''Hara, \"née\" X' WHERE staff_id = 4",
            # Nothing: written, but as it was.
            "UPDATE counterparty SET delivery_contact = delivery_contact",
            # Gone: an order with its payment and transaction.
            f"DELETE FROM payment WHERE payment_id = {payment}",
            f"DELETE FROM transaction WHERE transaction_id = {transaction}",
            f"DELETE FROM sales_order WHERE sales_order_id = {sales}",
        )
        tick(totesys, expectation)
        assert len(expectation.rows("fact_payment")) == 13959 + 20
        assert expectation.chains["fact_sales_order"][sales][-1].is_deleted
        late.commit()

    totesys.execute(
        # Back, with the same keys and the same last_updated; the payment with another amount.
        f"INSERT INTO sales_order SELECT * FROM kept_sales WHERE sales_order_id = {sales}",
        f"INSERT INTO transaction SELECT * FROM kept_transaction WHERE transaction_id = {transaction}",
        f"INSERT INTO payment SELECT * FROM kept_payment WHERE payment_id = {payment}",
        f"UPDATE payment SET payment_amount = payment_amount + 1 WHERE payment_id = {payment}",
        # Silent once more, and back to what it was.
        "UPDATE sales_order SET design_id = (SELECT design_id FROM kept_sales WHERE sales_order_id = 5) WHERE sales_order_id = 5",
        # An order goes, and the database empties the transaction's reference.
        "DELETE FROM purchase_order WHERE purchase_order_id = 100",
    )
    tick(totesys, expectation)
    assert 90001 in expectation.chains["fact_sales_order"], "the late order arrived"
    assert 90001 in expectation.chains["fact_payment"]
    assert [version.number for version in expectation.chains["fact_sales_order"][5]] == [1, 2, 3]
    assert [version.is_deleted for version in expectation.chains["fact_payment"][payment]] == [True, False]
    assert totesys.extract() is None

    # The past is as it was: what the source said at each cut, as of that cut.
    star, warehouse = totesys.model.name, totesys.warehouse()
    (first,) = totesys.query("SELECT cut_time FROM etl.load_ledger WHERE batch = 1", warehouse)
    found = totesys.query(
        f"SELECT sales_order_id, design_id FROM {star}.fact_sales_order_as_of('{first[0].isoformat()}')", warehouse
    )
    assert sorted(found) == sorted(totesys.query("SELECT sales_order_id, design_id FROM kept_sales")) + [
        row for row in sorted(found) if row[0] == 90001
    ]
    totesys.execute("DROP TABLE kept_sales, kept_transaction, kept_payment")

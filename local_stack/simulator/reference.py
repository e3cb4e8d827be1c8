"""The simulated business's reference rows: addresses, counterparties, departments, staff. All of it is invented."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from local_stack.simulator.business import FIRST_DAY, Dice

Rows = dict[str, list[dict[str, Any]]]

_FOUNDED: Final = datetime.combine(FIRST_DAY, datetime.min.time()).replace(hour=7, minute=30, second=15)
_STREETS: Final = (
    "Gullwing",
    "Saltmarsh",
    "Tanner",
    "Cooper",
    "Ropewalk",
    "Osier",
    "Bellfounder",
    "Millrace",
    "Quayside",
)
_ROADS: Final = ("Lane", "Street", "Row", "Court", "Parade", "Rise")
_CITIES: Final = (
    "Eastmere",
    "Port Lindow",
    "Varholm",
    "Saint-Aubrac",
    "Novaribeira",
    "Kestrel Bay",
    "Ostrava Nova",
    "Dunwick",
)
_DISTRICTS: Final = ("Northshire", "Lower Vale", "Borough of Tarn", "Haut-Pays")
_COUNTRIES: Final = (
    "France",
    "Japan",
    "Kenya",
    "Brazil",
    "Canada",
    "Norway",
    "Côte d'Ivoire",
    "Portugal",
    "New Zealand",
    "Chile",
)
_NAMES: Final = (
    *("Maren Oakhurst", "Tobias Fennel", "Ines Calloway", "Rufus Hartvig", "Noor Sandoval", "Petra Lindqvist"),
    *("Cormac O'Hara", "Zoë Marchetti", "Anselm Brook-Hayes", "Yuki Tamarind", "Desmond Achterberg", "Lucía Prados"),
    *("Wanda Thistlewood", "Emeka Stonebridge", "Hal Quill", "Birgit Ekelund", "Ottilie Vance", "Ravi Penhaligon"),
    *("Greta Moorcroft", "Silas Nightingale"),
)
_FIRMS: Final = (
    *(
        "Osprey & Finch",
        "O'Hara Provisions",
        "Quill, Tarn and Vale",
        "Bramble Trading (UK)",
        "Saltbox Group",
        "Müller & Töchter",
    ),
    *(
        "Larch Partners",
        "Northlight Supply",
        "Kestrel Dry Goods",
        "Tamarind Bros.",
        '"The Canvas Yard"',
        "Fennel, Fennel & Fennel",
    ),
    *(
        "Verdigris Mills",
        "Halyard Stores",
        "Pebble + Pine",
        "Café Maritime",
        "Anchorage Textiles 🧵",
        "Back\\Slash Studio",
    ),
    *("Foxglove Retail", "100% Cotton Co"),
)
_DEPARTMENTS: Final = (
    *(("Sales", "Eastmere"), ("Purchasing", "Eastmere"), ("Production", "Dunwick"), ("Dispatch", "Dunwick")),
    *(
        ("Finance", "Eastmere"),
        ("Facilities", "Port Lindow"),
        ("Communications", "Kestrel Bay"),
        ("People & Culture", None),
    ),
)
_TRAPS: Final[dict[int, dict[str, Any]]] = {
    0: {"address_line_1": "14 O'Hara Row", "postal_code": "08841"},
    1: {"address_line_1": "Unit 7 (rear), Quay & Dock Lane", "address_line_2": '2nd floor, "The Loft"'},
    2: {"city": "Überlingen-Süd", "postal_code": "00042-0815"},
    3: {"district": "", "postal_code": "1e5"},  # an empty text is not NULL
    4: {"address_line_2": "NULL", "city": "渋谷ヶ浜"},
    5: {"address_line_1": "Pier 3 🚢", "phone": "0000 000123"},
}


def reference_rows(dice: Dice) -> Rows:
    """Return the rows of the small tables, by table; ids run from 1 in order."""
    stamps = {"created_at": _FOUNDED, "last_updated": _FOUNDED}
    later = {key: moment.replace(second=16, microsecond=105_000) for key, moment in stamps.items()}
    rows: Rows = {
        "address": [_address(dice, number) for number in range(30)],
        "currency": [{"currency_code": code} for code in ("GBP", "USD", "EUR")],
        "department": [
            {"department_name": name, "location": location, "manager": dice.pick(_NAMES)}
            for name, location in _DEPARTMENTS
        ],
        "payment_type": [
            {"payment_type_name": name}
            for name in ("SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND")
        ],
    }
    rows = {table: [row | stamps for row in values] for table, values in rows.items()}
    rows["counterparty"] = [
        {
            "counterparty_legal_name": name,
            "legal_address_id": dice.integer(1, 30),
            "commercial_contact": dice.pick(_NAMES),
            "delivery_contact": None if dice.chance(0.1) else dice.pick(_NAMES),
            **later,
        }
        for name in _FIRMS
    ]
    rows["staff"] = [_staff(dice, name) | later for name in _NAMES]
    return {
        table: [{f"{table}_id": index, **row} for index, row in enumerate(values, 1)] for table, values in rows.items()
    }


def _address(dice: Dice, number: int) -> dict[str, Any]:
    digits = "0123456789"
    row = {
        "address_line_1": f"{dice.integer(1, 9800)} {dice.pick(_STREETS)} {dice.pick(_ROADS)}",
        "address_line_2": f"Suite {dice.integer(1, 90)}" if dice.chance(1 / 3) else None,
        "district": dice.pick(_DISTRICTS) if dice.chance(1 / 2) else None,
        "city": dice.pick(_CITIES),
        "postal_code": dice.code(5, digits) + (f"-{dice.code(4, digits)}" if dice.chance(1 / 4) else ""),
        "country": dice.pick(_COUNTRIES),
        "phone": f"{dice.code(4, digits)} {dice.code(6, digits)}",
    }
    return row | _TRAPS.get(number, {})


def _staff(dice: Dice, name: str) -> dict[str, Any]:
    first, last = name.split(" ")
    return {
        "first_name": first,
        "last_name": last,
        "department_id": dice.integer(1, len(_DEPARTMENTS)),
        "email_address": f"{first}.{last}@tidetotes.example".lower(),
    }

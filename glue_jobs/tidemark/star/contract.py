"""The contract of a star table: its columns in their declared types, or the row is rejected.

Promises: every column comes out in its declared type or its row is *bad*, with a reason that names column and value;
nothing is silently turned into NULL. Dates given as text must be ``YYYY-MM-DD``.

The rules are texts of Spark's SQL: as columns, each operator and each literal would be a call of Java or two, several
hundred for every tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.base.errors import ModelError
from tidemark.lake import keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

    from tidemark.model.definition import Column, StarTable

ISO_DATE: Final = r"^\d{4}-\d{2}-\d{2}\z"
TIME_OF_DAY: Final = r"^(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?|24:00:00)\z"
REASON: Final = "_reason"
RAW: Final = "_row"
KEY_TEXT: Final = "_key_text"
KEYLESS: Final = "_keyless"
UPDATED: Final = "_updated_at"
WALL_CLOCK_KINDS: Final = ("timestamp_ntz", "date", "string")
_OWN_OFFSET: Final = r":\d{2}(\.\d+)?\s*[A-Za-z+-]"
_LONGEST_VALUE: Final = 60
_BETWEEN: Final = "'; '"
_CLOCK: Final = "HH:mm:ss.SSSSSS"
_ZEROS_AT_THE_END: Final = r"\.?0+$"
_MICROSECONDS: Final = 6
_MICROSECONDS_OF_2000: Final = 946_684_800_000_000


def check_contract(found: DataFrame, table: StarTable, unknown: Collection[str] = (), zone: str = "UTC") -> DataFrame:
    """Cast every column to its declared type; say what does not fit.

    Added are ``_reason`` (NULL if good), ``_row`` (JSON, of bad rows), ``_key_text``, ``_updated_at`` and ``_keyless``:
    whether the key has a NULL.

    Parameters
    ----------
    unknown
        Columns whose inputs were not landed yet: they may be NULL for now.
    zone
        That of ``_updated_at``, if it is a wall clock.
    """
    kinds = dict(found.dtypes)
    raw = {column.name: names.spark(column.name) for column in table.columns}
    cast = {column.name: _cast(column, raw[column.name], kinds[column.name]) for column in table.columns}
    required = {column.name for column in table.columns if not column.nullable or column.name in table.key}
    required.difference_update(unknown)
    problems = [
        problem
        for column in table.columns
        for problem in _problems(column, raw[column.name], cast[column.name], column.name in required)
    ]
    reason = f"nullif(concat_ws({', '.join((_BETWEEN, *problems))}), '')"
    whole = f"to_json({names.spark_struct(name for name in found.columns if name != UPDATED)})"
    updated = moment(UPDATED, kinds[UPDATED], zone) if UPDATED in kinds else "CAST(NULL AS timestamp)"
    return found.selectExpr(
        *(f"{expression} AS {raw[name]}" for name, expression in cast.items()),
        f"{reason} AS {REASON}",
        f"CASE WHEN {reason} IS NOT NULL THEN {whole} END AS {RAW}",
        f"{_key_text(kinds, table, table.key)} AS {KEY_TEXT}",
        f"{' OR '.join(f'{raw[name]} IS NULL' for name in table.key)} AS {KEYLESS}",
        f"{updated} AS {UPDATED}",
    )


def moment(value: str, kind: str, zone: str) -> str:
    """Return SQL for the moment that a value of the source means; the only place where a wall clock becomes one.

    Where clocks are set back, an hour is there twice: the first is meant (so nothing lies in the future). Where they
    are set forward, an hour is not there: its times are those of a clock that was not set. Python and Java say the
    same. A text that names its own offset keeps it.
    """
    if kind not in WALL_CLOCK_KINDS:
        return f"try_cast({value} AS timestamp)"
    clock = f"CAST(try_cast({value} AS timestamp_ntz) AS timestamp)"
    there = f"to_utc_timestamp({clock}, {names.spark_literal(zone)})"
    if kind != "string":
        return there
    return f"CASE WHEN {_matches(value, _OWN_OFFSET)} THEN try_cast({value} AS timestamp) ELSE {there} END"


def key_text(frame: DataFrame, table: StarTable, key: Sequence[str]) -> SparkColumn:
    """Return a star table's key, of a frame in which its columns have other names, as text: as it is there.

    A value that the key's type cannot hold is given as it is here: two values that do not fit the key's type are never
    equal.
    """
    return F.expr(_key_text(dict(frame.dtypes), table, key)).alias("key")


def keys_in_star(frame: DataFrame, table: StarTable, key: Sequence[str]) -> list[SparkColumn]:
    """Return a star table's key, of a frame with other names and types, to be looked up by; NULL if it is unfit."""
    pairs = zip(_in_star(dict(frame.dtypes), table, key), keys.lookup_names(table.key), strict=True)
    return [F.expr(fit).alias(alias) for fit, alias in pairs]


def _key_text(kinds: Mapping[str, str], table: StarTable, key: Sequence[str]) -> str:
    pairs = zip(_in_star(kinds, table, key), map(names.spark, key), strict=True)
    return keys.as_text([f"coalesce(CAST({fit} AS string), CAST({name} AS string))" for fit, name in pairs])


def _in_star(kinds: Mapping[str, str], table: StarTable, key: Sequence[str]) -> list[str]:
    pairs = zip(table.key, key, strict=True)
    return [_cast(table.column(own), names.spark(name), kinds[name]) for own, name in pairs]


def check_keys_are_the_drivers(rows: DataFrame, table: StarTable, driver: DataFrame) -> None:
    """Raise if the SQL made keys that the driver's rows in scope do not have: history is kept by them.

    Raises
    ------
    ModelError
        Naming one of them.
    """
    there = driver.select(key_text(driver, table, table.from_key))
    made = rows.select(F.col(KEY_TEXT).alias("key"), F.col(REASON).isNull().alias("good")).where("good")
    other = made.join(there, "key", "left_anti").limit(1).collect()
    if other:
        raise ModelError(
            f"{table.name}.sql gives {', '.join(table.key)} {other[0]['key']}, "
            f"which is not a key of {table.driver} there",
            expected=f"{', '.join(table.from_key)} of each row of {table.driver}, as the source has it",
            do="give the key as it is; what is made of it goes into a column of its own",
        )


def _cast(column: Column, raw: str, kind: str) -> str:
    """Return a value in its declared type, NULL if it does not fit; ``raw`` itself if each value of its kind does."""
    base, digits = column.type.base, column.type.args[0] if column.type.args else _MICROSECONDS
    if base == "date" and kind == "string":
        return f"CASE WHEN {_matches(raw, ISO_DATE)} THEN try_cast({raw} AS date) END"
    if base == "time":
        clock = f"date_format(CAST({raw} AS timestamp), '{_CLOCK}')"
        text = clock if kind.startswith("timestamp") else raw
        rounded = text if digits == _MICROSECONDS else _rounded_time(text, digits)
        return f"CASE WHEN {_matches(text, TIME_OF_DAY)} THEN {rounded} END"
    if base in ("timestamp", "timestamptz") and digits < _MICROSECONDS:
        return f"CAST({_rounded(f'try_cast({raw} AS timestamp)', digits)} AS {column.type.spark})"
    if base == "smallint":
        return f"CAST(try_cast({raw} AS smallint) AS int)"
    if base in ("varchar", "char") and column.type.args:
        text = f"CAST({raw} AS string)"
        return f"CASE WHEN length({text}) <= {column.type.args[0]} THEN {text} END"
    return raw if kind == column.type.spark else f"try_cast({raw} AS {column.type.spark})"


def _rounded(time: str, digits: int) -> str:
    """Round a timestamp as PostgreSQL does for ``timestamp(digits)``: halves away from the year 2000."""
    step = 10 ** (_MICROSECONDS - digits)
    since = f"(unix_micros({time}) - {_MICROSECONDS_OF_2000})"
    near = f"({since} + CASE WHEN {since} < 0 THEN -{step // 2} ELSE {step // 2} END)"
    return f"timestamp_micros({near} - {near} % {step} + {_MICROSECONDS_OF_2000})"


def _rounded_time(text: str, digits: int) -> str:
    """Round a time of day as PostgreSQL does for ``time(digits)``: the last moment of a day may become 24:00:00."""
    exact = f"try_cast(concat('2000-01-01 ', {text}) AS timestamp)"  # not that of 24:00:00
    rounded = _rounded(exact, digits)
    short = f"regexp_replace(date_format({rounded}, '{_CLOCK}'), {names.spark_literal(_ZEROS_AT_THE_END)}, '')"
    fits = f"{exact} IS NULL OR {rounded} = {exact}"  # what is round keeps its form, as it has it without digits
    same_day = f"CAST({rounded} AS date) = DATE '2000-01-01'"
    return f"CASE WHEN {fits} THEN {text} WHEN {same_day} THEN {short} ELSE '24:00:00' END"


def _problems(column: Column, raw: str, cast: str, required: bool) -> Iterator[str]:
    """Say what may be wrong with a value, or NULL; a key is required whatever the model says of it."""
    if cast != raw:
        before, after = names.spark_literal(f"{column.name}: '"), names.spark_literal(f"' is not a valid {column.type}")
        shown = f"substring(CAST({raw} AS string), 1, {_LONGEST_VALUE})"
        yield f"CASE WHEN {raw} IS NOT NULL AND {cast} IS NULL THEN concat({before}, {shown}, {after}) END"
    if required:
        yield f"CASE WHEN {raw} IS NULL THEN {names.spark_literal(f'{column.name} is NULL')} END"


def _matches(value: str, pattern: str) -> str:
    return f"{value} RLIKE {names.spark_literal(pattern)}"

"""The contract of a star table: its columns in their declared types, or the row is rejected.

Promises: every column comes out in its declared type or its row is *bad*, with a reason that names column and value;
nothing is silently turned into NULL. Dates given as text must be ``YYYY-MM-DD``.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.base.errors import ModelError
from tidemark.lake import keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

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
_CLOCK: Final = "HH:mm:ss.SSSSSS"
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
    raw = {column.name: F.col(names.spark(column.name)) for column in table.columns}
    cast = {column.name: _cast(column, raw[column.name], kinds[column.name]) for column in table.columns}
    required = {column.name for column in table.columns if not column.nullable or column.name in table.key}
    required.difference_update(unknown)
    problems = [
        problem
        for column in table.columns
        for problem in _problems(column, raw[column.name], cast[column.name], column.name in required)
    ]
    reason = F.nullif(F.concat_ws("; ", *problems), F.lit(""))
    whole = F.to_json(F.struct(*(names.spark(name) for name in found.columns if name != UPDATED)))
    updated = moment(F.col(UPDATED), kinds[UPDATED], zone) if UPDATED in kinds else F.lit(None).cast("timestamp")
    return found.select(
        *(expression.alias(name) for name, expression in cast.items()),
        reason.alias(REASON),
        F.when(reason.isNotNull(), whole).alias(RAW),
        key_text(found, table, table.key).alias(KEY_TEXT),
        reduce(or_, (raw[name].isNull() for name in table.key)).alias(KEYLESS),
        updated.alias(UPDATED),
    )


def moment(value: SparkColumn, kind: str, zone: str) -> SparkColumn:
    """Return the moment that a value of the source means; the only place where a wall clock becomes one.

    Where clocks are set back, an hour is there twice: the first is meant (so nothing lies in the future). Where they
    are set forward, an hour is not there: its times are those of a clock that was not set. Python and Java say the
    same. A text that names its own offset keeps it.
    """
    if kind not in WALL_CLOCK_KINDS:
        return value.try_cast("timestamp")
    there = F.to_utc_timestamp(value.try_cast("timestamp_ntz").cast("timestamp"), zone)
    if kind != "string":
        return there
    return F.when(value.rlike(_OWN_OFFSET), value.try_cast("timestamp")).otherwise(there)


def key_text(frame: DataFrame, table: StarTable, key: Sequence[str]) -> SparkColumn:
    """Return a star table's key, of a frame in which its columns have other names, as text: as it is there.

    A value that the key's type cannot hold is given as it is here: two values that do not fit the key's type are never
    equal.
    """
    pairs = zip(_in_star(frame, table, key), map(names.spark, key), strict=True)
    return keys.as_text([F.coalesce(fit.cast("string"), F.col(name).cast("string")) for fit, name in pairs])


def keys_in_star(frame: DataFrame, table: StarTable, key: Sequence[str]) -> list[SparkColumn]:
    """Return a star table's key, of a frame with other names and types, to be looked up by; NULL if it is unfit."""
    pairs = zip(_in_star(frame, table, key), keys.lookup_names(table.key), strict=True)
    return [fit.alias(alias) for fit, alias in pairs]


def _in_star(frame: DataFrame, table: StarTable, key: Sequence[str]) -> list[SparkColumn]:
    kinds = dict(frame.dtypes)
    pairs = zip(table.key, key, strict=True)
    return [_cast(table.column(own), F.col(names.spark(name)), kinds[name]) for own, name in pairs]


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


def _cast(column: Column, raw: SparkColumn, kind: str) -> SparkColumn:
    """Return a value in its declared type, NULL if it does not fit; ``raw`` itself if each value of its kind does."""
    base, digits = column.type.base, column.type.args[0] if column.type.args else _MICROSECONDS
    if base == "date" and kind == "string":
        return F.when(raw.rlike(ISO_DATE), raw.try_cast("date"))
    if base == "time":
        text = F.date_format(raw.cast("timestamp"), _CLOCK) if kind.startswith("timestamp") else raw
        return F.when(text.rlike(TIME_OF_DAY), text if digits == _MICROSECONDS else _rounded_time(text, digits))
    if base in ("timestamp", "timestamptz") and digits < _MICROSECONDS:
        return _rounded(raw.try_cast("timestamp"), digits).cast(column.type.spark)
    if base == "smallint":
        return raw.try_cast("smallint").cast("int")
    if base in ("varchar", "char") and column.type.args:
        return F.when(F.length(raw.cast("string")) <= column.type.args[0], raw.cast("string"))
    return raw.try_cast(column.type.spark) if kind != column.type.spark else raw


def _rounded(time: SparkColumn, digits: int) -> SparkColumn:
    """Round a timestamp as PostgreSQL does for ``timestamp(digits)``: halves away from the year 2000."""
    step = 10 ** (_MICROSECONDS - digits)
    since = F.unix_micros(time) - _MICROSECONDS_OF_2000
    near = F.when(since < 0, since - step // 2).otherwise(since + step // 2)
    return F.timestamp_micros(near - near % step + _MICROSECONDS_OF_2000)


def _rounded_time(text: SparkColumn, digits: int) -> SparkColumn:
    """Round a time of day as PostgreSQL does for ``time(digits)``: the last moment of a day may become 24:00:00."""
    day = F.lit("2000-01-01")
    exact = F.concat(day, F.lit(" "), text).try_cast("timestamp")  # not that of 24:00:00
    rounded = _rounded(exact, digits)
    short = F.regexp_replace(F.date_format(rounded, _CLOCK), r"\.?0+$", "")
    fits = exact.isNull() | (rounded == exact)  # what is round keeps its form, as it has it without digits
    return F.when(fits, text).when(rounded.cast("date") == day.cast("date"), short).otherwise("24:00:00")


def _problems(column: Column, raw: SparkColumn, cast: SparkColumn, required: bool) -> Iterator[SparkColumn]:
    """Say what may be wrong with a value, or NULL; a key is required whatever the model says of it."""
    if cast is not raw:
        shown = F.substring(raw.cast("string"), 1, _LONGEST_VALUE)
        unfit = F.concat(F.lit(f"{column.name}: '"), shown, F.lit(f"' is not a valid {column.type}"))
        yield F.when(raw.isNotNull() & cast.isNull(), unfit)
    if required:
        yield F.when(raw.isNull(), F.lit(f"{column.name} is NULL"))

"""What a star's SQL does with its inputs, read from Spark's own optimised plan of it.

The plan is followed from the inputs upwards: which input columns decide a value, which decide what rows there are, and
whether rows of the driver can be evaluated apart from each other. Promises: a dependency is never overlooked (a part of
a plan that is not known here depends on everything); it may report a dependency that is not real.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql.types import StructField, StructType

from tidemark.base import quoting as names
from tidemark.base.spark import spark_session
from tidemark.star.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from tidemark.model.definition import Fact, Model, StarTable

InputColumns = frozenset[str]
_MARK: Final = "input"
_TABLE: Final = "table"
_NONE: Final[InputColumns] = frozenset()
_CONSTANT_LEAVES: Final = frozenset({"LocalRelation", "OneRowRelation", "Range", "EmptyRelation"})


@dataclass(frozen=True)
class _JoinKind:
    """What a kind of join does to the rows of one side, for each of which it looks for rows of the other.

    ``keeps`` says that a row stays whatever is found; otherwise what is found decides. ``finds_one`` says that one row
    of the other side at most is taken to it. ``mirrored``: that one side is the right one.
    """

    keeps: bool
    finds_one: bool = False
    mirrored: bool = False


_JOINS: Final = {
    "Inner": _JoinKind(keeps=False),
    "Cross": _JoinKind(keeps=False),
    "LeftOuter": _JoinKind(keeps=True),
    "RightOuter": _JoinKind(keeps=True, mirrored=True),
    "LeftSemi": _JoinKind(keeps=False, finds_one=True),
    "LeftAnti": _JoinKind(keeps=False, finds_one=True),
    "LeftSingle": _JoinKind(keeps=True, finds_one=True),
    "ExistenceJoin": _JoinKind(keeps=True, finds_one=True),
}
_UNKNOWN_JOIN: Final = _JoinKind(keeps=False)


@dataclass(frozen=True)
class Lineage:
    """What a star's SQL makes of its inputs: ``table.column`` is a column, ``table`` which rows there are.

    Parameters
    ----------
    columns
        The input columns that each of its columns depends on.
    rows
        Those on which it depends what rows there are. A left join is taken to find one row at most: more is an error.
    per_row
        Whether each row comes from one row of the driver, whatever its other rows are.
    one_to_one
        Whether, besides, no row of the driver can become two: what is joined to it is found by its whole key.
    passed_through
        Columns that are an input column as it is, and which.
    """

    columns: dict[str, InputColumns]
    rows: InputColumns
    per_row: bool
    one_to_one: bool
    passed_through: dict[str, str]


@dataclass(frozen=True)
class _Flow:
    """What is known of a part of the plan; attributes by their expression id.

    ``multiplied`` is what left joins find: none or one row to each, but to those who count it may be more. ``drivers``
    counts the driver's occurrences below, ``apart`` tells whether its rows do not meet up to here, ``multiplies``
    whether a join may make several of one of them. ``key`` are the columns by which each row is another.
    """

    depends: dict[int, InputColumns] = field(default_factory=dict)
    rows: InputColumns = _NONE
    multiplied: InputColumns = _NONE
    passed_through: dict[int, str] = field(default_factory=dict)
    drivers: int = 0
    apart: bool = True
    multiplies: bool = False
    key: InputColumns = _NONE

    def of(self, references: Iterable[int]) -> InputColumns:
        return _NONE.union(*(self.depends.get(reference, _NONE) for reference in references))


_known: dict[tuple[StarTable, tuple[tuple[str, InputColumns, tuple[tuple[str, str], ...]], ...]], Lineage] = {}


def lineage_of(
    spark: SparkSession, table: StarTable, inputs: Mapping[str, DataFrame], keys: Mapping[str, Sequence[str]]
) -> Lineage:
    """Read a star's SQL over frames like the given ones; once per process, for it says nothing of their rows.

    Parameters
    ----------
    keys
        The columns of each input by which each of its rows is another, as far as they are known.

    Raises
    ------
    ModelError
        If the SQL does not run, or does not give exactly the declared columns.
    """
    own = {name: frozenset(f"{name}.{column}" for column in keys.get(name, ())) for name in inputs}
    asked = (table, tuple((name, own[name], tuple(frame.dtypes)) for name, frame in inputs.items()))
    if asked not in _known:
        _known[asked] = _read(spark, table, inputs, own)
    return _known[asked]


def _read(
    spark: SparkSession, table: StarTable, inputs: Mapping[str, DataFrame], keys: Mapping[str, InputColumns]
) -> Lineage:
    marked = {name: _marked(spark, name, frame.schema) for name, frame in inputs.items()}
    found = evaluate(spark, table, marked)
    plan = found._jdf.queryExecution().optimizedPlan()  # noqa: SLF001 - plans have no Python side
    everything = frozenset(f"{name}.{column}" for name, frame in inputs.items() for column in frame.columns)
    flow = _Reader(table, everything.union(inputs), keys).read(plan)
    output = [(attribute.name(), attribute.exprId().id()) for attribute in _each(plan.output())]
    per_row = flow.apart and flow.drivers == 1
    return Lineage(
        {name: flow.of([identity]) for name, identity in output},
        flow.rows,
        per_row,
        per_row and not flow.multiplies,
        {name: flow.passed_through[identity] for name, identity in output if identity in flow.passed_through},
    )


def copied_columns(model: Model, fact: Fact) -> Mapping[str, str]:
    """Return which of a fact's columns are an input's column as it is."""
    spark = spark_session("tidemark-extract")
    declared = {
        name: names.spark_columns({c.name: c.type.spark for c in model.tables[name].columns}) for name in fact.inputs
    }
    inputs = {name: spark.createDataFrame([], columns) for name, columns in declared.items()}
    return lineage_of(spark, fact, inputs, {}).passed_through


def _marked(spark: SparkSession, name: str, schema: StructType) -> DataFrame:
    """Return an empty frame whose columns say where they come from. Not a local relation: that is optimised away."""
    fields = [StructField(f.name, f.dataType, True, {_MARK: f"{name}.{f.name}", _TABLE: name}) for f in schema.fields]
    return spark.createDataFrame(spark.sparkContext.emptyRDD(), StructType(fields))


def _each(scala_sequence: Any) -> list[Any]:
    return [scala_sequence.apply(index) for index in range(scala_sequence.size())]


def _references(part: Any) -> list[int]:
    return [attribute.exprId().id() for attribute in _each(part.references().toSeq())]


def _fixes_key(join: Any, found: _Flow) -> bool:
    """Whether a join's condition says for the whole key of what it finds what each column is equal to."""
    fixed, conditions = set(), [join.condition().get()] if join.condition().isDefined() else []
    while conditions:
        condition = conditions.pop()
        if _kind(condition) == "And":
            conditions += [condition.left(), condition.right()]
        if _kind(condition) != "EqualTo":
            continue
        for own, other in ((condition.left(), condition.right()), (condition.right(), condition.left())):
            if _kind(own) == "AttributeReference" and found.depends.keys().isdisjoint(_references(other)):
                fixed.add(found.passed_through.get(own.exprId().id()))
    return bool(found.key) and found.key <= fixed


def _grouped_by(aggregate: Any, child: _Flow) -> InputColumns:
    """Return the columns by which an aggregate's rows are all there are; none if they are no columns of an input."""
    by = _each(aggregate.groupingExpressions())
    marks = [child.passed_through.get(part.exprId().id()) for part in by if _kind(part) == "AttributeReference"]
    found = frozenset(mark for mark in marks if mark is not None)
    return found if len(found) == len(by) else _NONE


def _kind(part: Any) -> str:
    return str(part.getClass().getSimpleName())


class _Reader:
    def __init__(self, table: StarTable, everything: InputColumns, keys: Mapping[str, InputColumns]) -> None:
        self._everything, self._keys, self._driver = everything, keys, table.driver
        self._from_key = {f"{table.driver}.{column}" for column in table.from_key}

    def read(self, plan: Any) -> _Flow:
        """Return what is known of a plan, from that of its parts."""
        children = [self.read(child) for child in _each(plan.children())]
        subqueries = [self.read(subquery) for subquery in _each(plan.subqueries())]
        kind = _kind(plan)
        if not children:
            return self._leaf(plan, kind)
        if kind == "Join":
            flow = self._join(plan, *children)
        elif kind in ("Project", "Filter", "Sort", "Aggregate", "Window"):
            flow = self._unary(plan, kind, children[0])
        else:
            flow = self._anything(plan, children)
        for subquery in subqueries:  # which expression it belongs to is not looked for
            also = subquery.rows.union(*subquery.depends.values())
            flow = replace(
                flow,
                depends={name: marks | also for name, marks in flow.depends.items()},
                rows=flow.rows | also,
                drivers=flow.drivers + subquery.drivers,
                apart=flow.apart and not subquery.drivers,
            )
        return flow

    def _leaf(self, plan: Any, kind: str) -> _Flow:
        attributes = _each(plan.output())
        if kind in _CONSTANT_LEAVES:
            return _Flow({attribute.exprId().id(): _NONE for attribute in attributes})
        if kind != "LogicalRDD":
            return self._anything(plan, [])
        marks = {attribute.exprId().id(): attribute.metadata().getString(_MARK) for attribute in attributes}
        (table,) = {attribute.metadata().getString(_TABLE) for attribute in attributes}
        depends = {name: frozenset([mark]) for name, mark in marks.items()}
        key, drivers = self._keys[table], int(table == self._driver)
        return _Flow(depends, frozenset([table]), passed_through=marks, drivers=drivers, key=key)

    def _unary(self, plan: Any, kind: str, child: _Flow) -> _Flow:
        rows, apart, key = child.rows, child.apart, child.key
        grouped = {"Aggregate": "groupingExpressions", "Window": "partitionSpec"}.get(kind)
        if kind == "Filter":
            rows |= child.of(_references(plan))
        if grouped:
            by = [reference for part in _each(getattr(plan, grouped)()) for reference in _references(part)]
            rows |= child.of(by) if kind == "Aggregate" else _NONE
            key = _grouped_by(plan, child) or key if kind == "Aggregate" else key
            apart = apart and (not child.drivers or self._from_key <= {child.passed_through.get(name) for name in by})
        depends, passed_through = dict(child.depends), dict(child.passed_through)
        for part in _each(plan.expressions()):
            if _kind(part) == "Alias":
                name = part.exprId().id()
                depends[name] = child.of(_references(part)) | (rows | child.multiplied if grouped else _NONE)
                if _kind(part.child()) == "AttributeReference" and part.child().exprId().id() in passed_through:
                    passed_through[name] = passed_through[part.child().exprId().id()]
        return replace(child, depends=depends, rows=rows, passed_through=passed_through, apart=apart, key=key)

    def _join(self, plan: Any, left: _Flow, right: _Flow) -> _Flow:
        name = plan.joinType().toString().partition("(")[0]  # ExistenceJoin(exists#5)
        kind = _JOINS.get(name, _UNKNOWN_JOIN)
        both = _Flow({**left.depends, **right.depends}, passed_through={**left.passed_through, **right.passed_through})
        condition = both.of(_references(plan))
        drivers, apart = left.drivers + right.drivers, left.apart and right.apart
        multiplied = left.multiplied | right.multiplied
        if kind.mirrored:
            left, right = right, left
        finds_one = kind.finds_one or _fixes_key(plan, right)
        multiplies = left.multiplies or right.multiplies or bool(left.drivers and not finds_one)
        twice = set(left.passed_through.values()) & set(right.passed_through.values())  # whose column a key's is?
        key = left.key if finds_one and not twice else _NONE
        if kind.keeps:
            found = condition | right.rows
            depends = {**left.depends, **{name: marks | found for name, marks in right.depends.items()}}
            for attribute in _each(plan.output()):
                depends.setdefault(attribute.exprId().id(), found)  # whether there is one, of an existence join
            passed_through = {**right.passed_through, **left.passed_through}
            stays = apart and not right.drivers
            return _Flow(depends, left.rows, multiplied | found, passed_through, drivers, stays, multiplies, key)
        safe = apart and name in _JOINS and not (right.drivers and kind.finds_one)
        multiplies |= bool(right.drivers and not _fixes_key(plan, left))
        rows = left.rows | right.rows | condition
        return _Flow(both.depends, rows, multiplied, both.passed_through, drivers, safe, multiplies, key)

    def _anything(self, plan: Any, children: list[_Flow]) -> _Flow:
        """A part that is not known here: all of it depends on all, and no row on one row of the driver alone."""
        names = [attribute.exprId().id() for attribute in _each(plan.output())]
        drivers = sum(child.drivers for child in children)
        whole = dict.fromkeys(names, self._everything)
        return _Flow(whole, self._everything, drivers=drivers, apart=not drivers and bool(children))

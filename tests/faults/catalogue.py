"""Faults, one for each rule of docs/guarantees.md and each boundary of ``tests/fuzz/sabotage.py``.

A fault is a small change of the library's text: what stands there once, and what stands there instead. It is found by its
text and not by its file, so that another tree of the same code can be asked, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """One rule broken.

    Parameters
    ----------
    rule
        Number of the guarantee, or name of the boundary; and what is broken.
    old, new
        The code, and what it is changed to.
    tests
        Names of the test files that are asked, the cheapest first.
    once
        ``old`` and ``new`` as they were in a tree of before, where other words alone do not make them the same.
    """

    rule: str
    old: str
    new: str
    tests: tuple[str, ...]
    once: tuple[str, str] | None = None


FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "1: transactions that were open at the last cut are looked for",
        "low, high = previous.xmin % XID_MODULUS, current.xmax % XID_MODULUS",
        "low, high = previous.xmax % XID_MODULUS, current.xmax % XID_MODULUS",
        ("test_queries.py", "test_extract.py"),
    ),
    Fault(
        "1: what the last cut showed is not read again",
        'return f"({window} AND xidsend(xmin) NOT IN ({already}))"',
        "return window",
        ("test_queries.py", "test_extract.py"),
    ),
    Fault(
        "1: transaction ids are compared only where they can be",
        "return 0 <= current.xmax - previous.xmin < XID_HORIZON and current.xmax >= previous.xmax",
        "return True",
        ("test_queries.py", "test_guards.py"),
    ),
    Fault(
        "1: a reader proves that it is in the snapshot",
        "\"('reader is outside the exported snapshot: ' || pg_current_snapshot()::text)::int END = 0\"",
        '"0 END = 0"',
        ("test_queries.py", "test_extract.py"),
    ),
    Fault(
        "1: another server is compared whole",
        "if previous.identity != snapshot.identity:",
        "if previous is snapshot:",
        ("test_guards.py", "test_extract.py"),
    ),
    Fault(
        "1: a table that was defined anew is compared whole",
        "if entry.fingerprint != snapshot.tables[table.name].fingerprint:",
        "if entry is previous:",
        ("test_plan.py", "test_extract.py"),
        once=(
            "elif not why and before is not None and before.fingerprint != fingerprint:",
            "elif before is previous and before is not None:",
        ),
    ),
    Fault(
        "1: a server that is behind is refused",
        "    if previous is None or not expected:",
        "    if previous is not snapshot or previous is None:",
        ("test_guards.py",),
        once=(
            "    if previous is None or not snapshot.server.is_behind(previous.identity, previous.cut, snapshot.cut):",
            "    if previous is not snapshot or previous is None:",
        ),
    ),
    Fault(
        "1: a server whose log has passed the cut again is known by its transaction ids",
        "        if now.xmax < cut.surely_used:",
        "        if now.xmax < 0:",
        ("test_server.py", "test_guards.py"),
    ),
    Fault(
        "1: a server that does not tell which one it is may be the one before",
        "        unknown = any(one.system_identifier.startswith(NOT_TOLD) for one in (self, other))",
        "        unknown = False",
        ("test_server.py",),
    ),
    Fault(
        "1: a server that does not tell how far its log is written is made to write it",
        "            server.flush(self.credentials, self.readers)\n",
        "",
        ("test_guards.py",),
    ),
    Fault(
        "1: no manifest before the source has its cut on disk",
        "        snapshot.wait_durable()\n",
        "",
        ("test_extract.py", "test_guards.py"),
    ),
    Fault(
        "1: a quiet source is asked to write its log",
        "            if waited > LOG_WRITER_SECONDS and not asked:",
        "            if waited > LSN_WAIT_SECONDS and not asked:",
        ("test_extract.py",),
    ),
    Fault(
        "1: keys that were exchanged for others are missed by their hash",
        "        if not same and not only_new:",
        "        if not same and not only_new and count < old_count:",
        ("test_plan.py", "test_extract.py"),
    ),
    Fault(
        "1: a table that shrank stops the tick",
        "if lost > 0 and name not in accepted and (plan.scan.count == 0 or lost > guard * before):",
        "if lost > before and name not in accepted and guard < 0:",
        ("test_extract.py",),
    ),
    Fault(
        "1: a key that is not a key stops the tick",
        "    repeated = [found for found in map(snapshot.repeated_key, changed) if found]",
        "    repeated = [found for found in map(snapshot.repeated_key, changed[:0]) if found]",
        ("test_extract.py", "test_silent_types.py"),
    ),
    Fault(
        "1: equal rows are not written to a mirror",
        "WHEN NOT {whole} <=> _old THEN 'update'",
        "WHEN true THEN 'update'",
        ("test_transform.py",),
        ('~F.struct(*columns).eqNullSafe(F.col("_old")), F.lit("update")', 'F.lit(True), F.lit("update")'),
    ),
    Fault(
        "1: lost keys leave the mirror",
        'gone = suspects.join(alive, list(key), "left_anti")',
        'gone = suspects.join(alive, list(key), "left_anti").limit(0)',
        ("test_transform.py",),
    ),
    Fault(
        "2: a change of a joined table evaluates all",
        '    if driver.mode == "full" or any(manifest.changed(name) for name in table.joins):',
        '    if driver.mode == "full":',
        ("test_transform.py",),
    ),
    Fault(
        "2: a table is touched by each of its inputs",
        "any(manifest.changed(name) for name in table.inputs)",
        "any(manifest.changed(name) for name in table.inputs[:1])",
        ("test_transform.py",),
    ),
    Fault(
        "2: rows are taken one by one only where the SQL lets it be",
        "per_row = flow.apart and flow.drivers == 1",
        "per_row = True",
        ("test_lineage.py", "test_model_mistakes.py"),
    ),
    Fault(
        "2: a text longer than its column is bad",
        'return f"CASE WHEN length({text}) <= {column.type.args[0]} THEN {text} END"',
        "return text",
        ("test_contract.py", "test_candidates.py"),
        (
            'return F.when(F.length(raw.cast("string")) <= column.type.args[0], raw.cast("string"))',
            'return raw.cast("string")',
        ),
    ),
    Fault(
        "2: a NULL where none is allowed is bad",
        'yield f"CASE WHEN {raw} IS NULL THEN',
        'yield f"CASE WHEN false THEN',
        ("test_contract.py", "test_candidates.py"),
        (
            'when(raw.isNull(), F.lit(f"{column.name} is NULL"))',
            'when(F.lit(False), F.lit(f"{column.name} is NULL"))',
        ),
    ),
    Fault(
        "2: an entry of the quarantine ends with its source row",
        'parts += [mine.join(change.evaluated_keys, "key", "left_semi"), mine.join(there, "key", "left_anti")]',
        'parts += [mine.join(change.evaluated_keys, "key", "left_semi"), mine.join(there, "key", "left_anti").limit(0)]',
        ("test_quarantine.py",),
    ),
    Fault(
        "2: rows without a key are counted one by one",
        'rows = F.sum(F.col(contract.KEYLESS).cast("bigint")).alias(_KEYLESS)',
        'rows = F.max(F.col(contract.KEYLESS).cast("bigint")).alias(_KEYLESS)',
        ("test_model_mistakes.py",),
    ),
    Fault(
        "2: a row that loses its key is looked for beside all others",
        "if seen.marked[_KEYLESS] and not scope.everything:",
        "if not scope.everything and seen.marked[_KEYLESS] < 0:",
        ("test_model_mistakes.py",),
    ),
    Fault(
        "2: while rows have no key, their table is evaluated as a whole",
        "everything = model_changed or table.name in whole",
        "everything = model_changed",
        ("test_model_mistakes.py",),
    ),
    Fault(
        "2: a reference finds a row",
        "missing = {name: asked[name] - there for",
        "missing = {name: asked[name] - asked[name] for",
        ("test_inferred_members.py", "test_quarantine.py", "test_transform.py"),
        (
            'references.join(known, [_DIMENSION, _REFERENCE], "left_anti") if known is not None',
            "references.where(F.lit(False)) if known is not None",
        ),
    ),
    Fault(
        "2: what a changed row refers to is looked up",
        'isin(NEW, CHANGED, BACKFILLED) & differs(columns, now="")',
        'isin(NEW) & differs(columns, now="")',
        ("test_versions.py",),
    ),
    Fault(
        "2: a join that can find several rows is checked",
        "return bool(found.key) and found.key <= fixed",
        "return bool(fixed)",
        ("test_lineage.py",),
    ),
    Fault(
        "2: a deleted dimension row is flagged",
        'f"{deleted} AS is_deleted",\n        "false AS is_inferred",',
        '"false AS is_deleted",\n        "false AS is_inferred",',
        ("test_transform.py",),
        (
            '        deleted.alias("is_deleted"),\n        F.lit(False).alias("is_inferred"),',
            '        F.lit(False).alias("is_deleted"),\n        F.lit(False).alias("is_inferred"),',
        ),
    ),
    Fault(
        "2: no commit unless the counts agree",
        "        if not here == there == source - held:",
        "        if here < 0:",
        ("test_load.py",),
    ),
    Fault(
        "3: a manifest is committed once",
        "        if not storage.put_new(where, manifest.to_json()):",
        "        if storage.put(where, manifest.to_json()) is not None:",
        ("test_area.py", "test_landing.py"),
    ),
    Fault(
        "3: manifests are an unbroken sequence",
        "missing = sorted(set(range(batch + 1, max(found))) - set(found))",
        "missing = sorted(set(range(batch + 1, max(found))) - set(found))[:0]",
        ("test_area.py", "test_landing.py"),
    ),
    Fault(
        "3: what an attempt that died has left is undone",
        "                roll_back(lake, last)\n",
        "                pass\n",
        ("test_model_changes.py", "test_crash_points.py"),
    ),
    Fault(
        "3: a key that comes back begins a new version",
        '.when(F.col("l.last").isNull() | ~F.col("l.last.is_current"), F.lit(NEW))',
        '.when(F.col("l.last").isNull(), F.lit(NEW))',
        ("test_versions.py",),
    ),
    Fault(
        "3: intervals do not overlap",
        "THEN {honest} END, greatest({cut}, {floor}), {cut})",
        "THEN {honest} END, {cut})",
        ("test_versions.py",),
        once=("return F.coalesce(own, F.greatest(cut, floor), cut)", "return F.coalesce(own, cut)"),
    ),
    Fault(
        "3: no version begins after its cut",
        'honest = f"least({UPDATED}, {cut})"',
        "honest = UPDATED",
        ("test_versions.py",),
        once=("honest = F.least(updated, cut)", "honest = updated"),
    ),
    Fault(
        "3: NULL is a value like another",
        'F.expr(f"NOT {names.spark_struct(columns, now)} <=> {names.spark_struct(columns, before)}")',
        'F.expr(" OR ".join(f"{now}{names.spark(name)} != {before}{names.spark(name)}" for name in columns))',
        ("test_versions.py",),
        (
            "    return ~now.eqNullSafe(before)\n",
            "    pairs = ((F.col(f'c.{names.spark(n)}'), F.col(f'l.last.{names.spark(n)}')) for n in columns)\n"
            "    return reduce(lambda one, other: one | other, (now != before for now, before in pairs))\n",
        ),
    ),
    Fault(
        "4: the load takes what was closed, too",
        'newer += f" or closed_batch > {after:d}"',
        'newer += ""',
        (
            "test_ticks_loaded.py",
            "test_load.py",
        ),
    ),
    Fault(
        "4: a table whose columns the last load did not have is read whole",
        "        **_not_held(model, before),\n",
        "",
        ("test_delta.py", "test_load_anew.py"),
    ),
    Fault(
        "4: what batches wrote in a column that the model has lost since comes with the next load",
        "        self._taken_out = columns_taken_out(model, later) if before else {}\n",
        "        self._taken_out: dict[str, set[str]] = {}\n",
        ("test_delta.py", "test_ticks_loaded.py"),
        once=(
            "        self._taken_out = columns_taken_out(model, before, batches[-1])\n",
            "        self._taken_out: dict[str, set[str]] = {}\n",
        ),
    ),
    Fault(
        "4: a name of the model never meets one of the program",
        "STAR_DATABASES_OWN: Final = frozenset({BATCHES, QUARANTINE})",
        "STAR_DATABASES_OWN: Final[frozenset[str]] = frozenset()",
        ("test_model.py", "test_any_names.py"),
    ),
    Fault(
        "4: the load reads the snapshots that the batch names",
        "scan(row_filter=newer if after else AlwaysTrue(), snapshot_id=snapshot)",
        "scan(row_filter=newer if after else AlwaysTrue())",
        (
            "test_ticks_loaded.py",
            "test_load.py",
        ),
    ),
    Fault(
        "5: a new column does not change a version that has it",
        'changed |= differs([name]) & (F.col("l.last.recorded_batch") <= batch)',
        "changed |= differs([name])",
        ("test_versions.py", "test_model_changes.py"),
    ),
    Fault(
        "5: what is equal is not written again",
        'f"WHERE {same} AND ROW({here}) IS DISTINCT FROM ROW({values})"',
        'f"WHERE {same}"',
        ("test_load_anew.py", "test_load.py"),
    ),
    Fault(
        "6: one load at a time",
        'self._run(f"SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0))")',
        'self._run(f"SELECT hashtextextended({lock}, 0)")',
        ("test_load.py",),
    ),
    Fault(
        "7: we give way to who waits",
        "                if still:\n",
        "                if still and self._done.is_set():\n",
        ("test_nobody_waits.py",),
    ),
    Fault(
        "7: we give way within a second",
        "POLL_SECONDS: Final = 0.2",
        "POLL_SECONDS: Final = 1.5",
        ("test_nobody_waits.py",),
    ),
    Fault(
        "7: what lies below views is counted before locks are taken",
        "for table in model.tables.values()])\n    deadline",
        "for table in lockable])\n    deadline",
        ("test_locks_counted.py",),
    ),
    Fault(
        "7: a view that was made again has its grants",
        'grants = connection.execute(_GRANTS.encode(), {"oid": oid}).fetchall()',
        'grants = connection.execute(_GRANTS.encode(), {"oid": oid}).fetchall()[:0]',
        ("test_others_objects.py",),
    ),
    Fault(
        "7: comments of others stay",
        "if found.get(target) != text and found.get(target) in (None, before.get(target))",
        "if found.get(target) != text",
        ("test_others_objects.py",),
    ),
    Fault(
        "7: our sessions look nowhere but in pg_catalog",
        'PIN: Final = "SET search_path = pg_catalog, pg_temp"',
        'PIN: Final = "SET search_path = public, pg_catalog, pg_temp"',
        ("test_connections.py", "test_sessions.py", "test_others_objects.py"),
    ),
    Fault(
        "2: what a load touches is counted by it",
        "carried = None if table.name in changed else known.get(table.name)",
        "carried = known.get(table.name)",
        ("test_ticks_loaded.py",),
    ),
    Fault(
        "2: after a full compare everything is counted",
        "count_all = _are_all_counted(delta.before, manifest)",
        "count_all = False",
        ("test_ticks_loaded.py",),
    ),
    Fault(
        "3: an attempt is noted before it writes",
        "            attempt.begin(processed_uri, execution)\n",
        "            pass\n",
        ("test_model_changes.py", "test_crash_points.py"),
    ),
    Fault(
        "put pending: a manifest is pending",
        "        self.mark_pending(manifest.batch)\n",
        "",
        ("test_area.py", "test_landing.py"),
    ),
    Fault(
        "put manifests: a marker that a death left out is put later",
        "    landing.restore_marker(previous)\n",
        "",
        ("test_crash_points.py", "test_extract.py"),
    ),
    Fault(
        "delete pending: a marker goes with its batch",
        "            if int(name) <= batch:",
        "            if int(name) < batch:",
        ("test_area.py", "test_landing.py"),
    ),
    Fault(
        "put published: it never goes back",
        "        if batch > self.published():",
        "        if batch > 0:",
        ("test_area.py", "test_landing.py"),
    ),
    Fault(
        "publish: not before the load has committed",
        "    try_again(lambda: _load_batch(",
        "    landing.publish(applied.batch)\n    try_again(lambda: _load_batch(",
        ("test_crash_points.py",),
    ),
    Fault(
        "merge: what is deleted is deleted",
        'delete = f"WHEN MATCHED AND {delete_when} THEN DELETE " if delete_when else ""',
        'delete = ""',
        ("test_transform.py",),
    ),
    Fault(
        "few rows: what is deleted is deleted",
        "stay = [(at, by) for at, by in found.items() if not gone[by]]",
        "stay = list(found.items())",
        ("test_few_rows.py", "test_transform.py"),
    ),
    Fault(
        "few rows: columns are known by their ids",
        "names = {field.name: there.get(field.metadata[_ID]) for field in schema}",
        "names = {field.name: field.name if field.name in there.values() else None for field in schema}",
        ("test_data_file.py", "test_ticks_loaded.py"),
    ),
    Fault(
        "few landed: a delete is found in the listed ranges alone",
        "return keys is None or keys.groups is None or value >> keys.shift in keys.groups",
        "return True",
        ("test_few_landed.py", "test_transform.py"),
    ),
    Fault(
        "few landed: what is equal is not written",
        "return new, [at for (at, _), other in zip(both, differs.to_pylist(), strict=True) if other]",
        "return new, [at for at, _ in both]",
        ("test_few_landed.py", "test_transform.py"),
    ),
    Fault(
        "look up: what a delete file takes stays away",
        "at = at.filter(pc.invert(pc.is_in(pc.add(at.cast(pa.int64()), start), value_set=away))).to_pylist()",
        "at = at.to_pylist()",
        ("test_large_tables.py",),
    ),
    Fault(
        "look up: ranges are found with all their keys",
        "return _meets(self._first, least, most) or _meets(self._groups, least >> shift, most >> shift)",
        "return _meets(self._first, least, most)",
        ("test_large_tables.py",),
    ),
    Fault(
        "delete files: one in the place of others has their rows",
        "rows += [taken[0].deletes[uri] for uri in _small_deletes(taken)]",
        "rows += []",
        ("test_large_tables.py",),
    ),
    Fault(
        "few rows: what a delete file takes is not written again",
        "busy = {*taken, *(part.file.uri for part in again)}",
        "busy = {*(part.file.uri for part in again)}",
        ("test_large_tables.py",),
    ),
    Fault(
        "scope: what is gone is looked for among all keys",
        "    if scope.gone_among_them:  # of what is gone there are no evaluated rows",
        "    if scope.empty:",
        ("test_transform.py",),
    ),
    Fault(
        "ledger: it says how far it came",
        "{applied.batch:d}, {delta.after:d}, {lake_id}",
        "{applied.batch:d} - 1, {delta.after:d}, {lake_id}",
        ("test_load.py",),
    ),
    Fault(
        "create: a table's first rows come with it, in one commit",
        "        made = table.createTransaction()\n",
        "        table.create()\n        made = table.replaceTransaction()\n",
        ("test_place.py",),
    ),
    Fault(
        "create: what was made is known to be there",
        "            self._there.add(name)\n",
        "",
        ("test_composite_keys.py",),
    ),
    Fault(
        "create: the lake's catalog is asked, whichever session a thread of Java knows",
        "        activate(spark)\n",
        "",
        ("test_demo.py",),
    ),
    Fault(
        "8: the state that the last batch left stays, however old",
        "newest = {batches[-1].batch} if batches else set()",
        "newest: set[int] = set()",
        ("test_retention.py",),
    ),
    Fault(
        "8: what is kept has a tag",
        "            change.createTag(tag, snapshot)\n",
        "            change.createTag(tag, java.currentSnapshot().snapshotId())\n",
        ("test_maintain.py",),
    ),
    Fault(
        "8: what is younger than a day stays",
        "limit = int((now - YOUNG).timestamp() * 1000)",
        "limit = int((now + YOUNG).timestamp() * 1000)",
        ("test_maintain.py",),
    ),
    Fault(
        "8: a file that a job may be about to commit is not lost",
        "olderThan(int((now - _LOST).timestamp() * 1000))",
        "olderThan(int(now.timestamp() * 1000))",
        ("test_maintain.py",),
    ),
    Fault(
        "8: a snapshot that expired is not missed after a compaction",
        "return None if step is None and newest == at else newest",
        "return None if step is None else newest",
        ("test_snapshots.py", "test_maintain.py"),
    ),
    Fault(
        "8: what an attempt wrote after a compaction is no compaction",
        "if step.operation != _COMPACTION:",
        "if step.operation == _COMPACTION and step.parent is None:",
        ("test_snapshots.py", "test_maintain.py"),
    ),
    Fault(
        "8: nobody rebuilds from a landing area that lacks its first batches",
        "        if batch > self.begins():\n",
        "        if batch < self.begins():\n",
        ("test_area.py",),
    ),
)

"""The drafted model as files: YAML in the form of ``model/totesys``, SQL, and a folder that is whole or not there."""

from __future__ import annotations

import tempfile
from math import inf
from pathlib import Path
from typing import Any, Final

import yaml

from tidemark.base.errors import ModelError
from tidemark.drafting import names
from tidemark.drafting.source import LeftOut, SourceDraft, plain_descriptions, table_entry
from tidemark.drafting.star import StarDraft
from tidemark.model.definition import Model
from tidemark.model.loader import load_model

_SOURCE_HEAD: Final = """\
# Drafted by `tidemark model init` from database {database}: every table and column that Tidemark reads.
# Types are PostgreSQL's; enums and other types of your own are read as text. Descriptions become column comments and
# the data dictionary. docs/model.md says what may stand here.
"""
_STAR_HEAD: Final = """\
# A starter star, drafted by `tidemark model init` from the foreign keys: a beginning to change, not a judgement.
# Every column's type is the warehouse's; the SQL beside this file (<table>.sql) gives the values (docs/model.md).
"""
_LEFT_OUT_HEAD: Final = """
# Left out. To read one of these too: do what it says, then take "# " away in front of its lines.
"""


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _FlowList(list[Any]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper with one-line columns."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - equal texts are written twice, not referred to
        return True


_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)
)
_Dumper.add_representer(
    _FlowList, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)


def source_yml(draft: SourceDraft) -> str:
    """Return ``source.yml``, with what is left out as comments at its end."""
    every = [*draft.tables, *(left.draft for left in draft.left_out if left.draft)]
    described = plain_descriptions(every)
    content: dict[str, Any] = {"name": draft.name, "description": draft.description, "schema": draft.schema}
    zones = draft.zone_notes
    if zones and draft.zone.name:
        content["time_zone"] = draft.zone.name
    content["tables"] = {table.name: _flowing(table_entry(table, draft, described)) for table in draft.tables}
    text = _SOURCE_HEAD.format(database=names.shown(draft.database))
    text += "".join(f"# time_zone: {note}\n" for note in zones) + _dump(content)
    if draft.left_out:
        text += _LEFT_OUT_HEAD + "".join(_left_out(left, draft, described) for left in draft.left_out)
    return text


def star_yml(draft: StarDraft) -> str:
    """Return ``star.yml``."""
    content: dict[str, Any] = {"date_dimension": draft.date_dimension} if draft.date_dimension else {}
    content["dimensions"] = {made.name: _flowing(made.entry()) for made in draft.tables if not made.is_fact}
    content["facts"] = {made.name: _flowing(made.entry()) for made in draft.tables if made.is_fact}
    notes = "".join(f"# {note}\n" for made in draft.tables for note in made.notes)
    return _STAR_HEAD + notes + _dump(content)


def write_folder(output: Path, source: SourceDraft, star: StarDraft, *, force: bool) -> Model:
    """Write the model beside its place, load it as every job does, and only then put it there.

    Raises
    ------
    ModelError
        If the place is taken.
    """
    target = check_output(output, force=force)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tidemark-", dir=target.parent) as aside:
        made, old = Path(aside, target.name), Path(aside, ".old")
        made.mkdir()
        made.joinpath("source.yml").write_text(source_yml(source), encoding="utf-8")
        made.joinpath("star.yml").write_text(star_yml(star), encoding="utf-8")
        for table in star.tables:
            made.joinpath(f"{table.name}.sql").write_text(table.sql(), encoding="utf-8")
        model = load_model(str(made))
        if target.exists():
            target.rename(old)
        try:
            made.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    return model


def check_output(output: Path, *, force: bool) -> Path:
    """Return where the folder goes, symbolic links followed.

    Raises
    ------
    ModelError
        If something is there that may not, or cannot, be replaced.
    """
    target = output.resolve()
    if str(output).startswith("s3:") or target.suffix == ".zip":
        raise ModelError(f"{output} is not a folder on this machine", do="name another --output")
    if not target.exists():
        return target
    if not target.is_dir():
        raise ModelError(f"{output} is a file", expected="a folder, or nothing", do="name another --output")
    there = sorted(target.iterdir())
    if there and not force:
        raise ModelError(f"{output} is not empty", do="name another --output, or say --force to replace it")
    others = [path.name for path in there if path.is_dir() or not _is_model_file(path)]
    if others or target == Path.cwd():
        what = f"holds other things than a model: {others[0]}" if others else "is the current folder"
        raise ModelError(f"{output} {what}", expected="source.yml, star.yml and SQL only", do="name another --output")
    return target


def _is_model_file(path: Path) -> bool:
    return path.name in ("source.yml", "star.yml") or path.suffix == ".sql"


def _flowing(entry: dict[str, Any]) -> dict[str, Any]:
    made = dict(entry)
    for name in ("key", "from_key"):
        if isinstance(made.get(name), list):
            made[name] = _FlowList(made[name])
    made["columns"] = {name: _Flow(column) for name, column in entry["columns"].items()}
    return made


def _dump(content: Any) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=inf)


def _left_out(left: LeftOut, draft: SourceDraft, described: dict[tuple[int, str], str]) -> str:
    said = f"#\n# {left.where}: {left.why}. To do: {left.do}.\n"
    if left.draft is None:
        return said
    stanza = _dump({left.draft.name: _flowing(table_entry(left.draft, draft, described))})
    return said + "".join(f"#   {line}\n" for line in stanza.splitlines())

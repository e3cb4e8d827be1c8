"""``tidemark model init``: from any PostgreSQL database to a model folder that loads.

Promises: the database is only read; the folder is written whole or not at all, and never before the model's own loader
has accepted it; whatever is left out is named, with what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidemark.base.database_url import Credentials
from tidemark.base.errors import ModelError, SourceError
from tidemark.drafting import catalog, files, names
from tidemark.drafting.source import LeftOut, SourceDraft, draft_source, plain_descriptions
from tidemark.drafting.star import StarDraft, draft_star
from tidemark.model.definition import Model

MODELS: Final = Path("model")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What was drafted; ``model`` is what the loader made of the folder."""

    source: SourceDraft
    star: StarDraft
    folder: Path
    model: Model


def draft_model(
    credentials: Credentials,
    *,
    schemas: Sequence[str] = (),
    name: str | None = None,
    output: Path | None = None,
    force: bool = False,
) -> Draft:
    """Draft a model of a database into a folder.

    Parameters
    ----------
    schemas
        Schemas to read; all but the system's by default.
    name
        Of the model; after the database by default.
    output
        Folder to make; ``model/NAME`` by default.
    force
        Replace the model that is there.

    Raises
    ------
    ModelError
        If nothing could be drafted, the name cannot be one, or the folder is taken.
    SourceError
        If the server is too old or a schema is not there.
    """
    called = name or names.model_name(credentials.dbname)
    if called != names.model_name(called):
        raise ModelError(
            f"a model cannot be called {called!r}",
            expected="up to 41 lower-case letters, digits and _, beginning with a letter; not etl, nothing with pg_",
            do="fix --name",
        )
    folder = output or MODELS / called
    files.check_output(folder, force=force)
    with catalog.reading(credentials) as connection:
        database = catalog.read_database(connection, schemas)
        source = draft_source(
            database,
            called,
            credentials.username,
            lambda relation, columns: catalog.holds_null(connection, relation, columns),
        )
    if not source.tables:
        raise _nothing(credentials, database, source.left_out)
    star = draft_star(source.tables, plain_descriptions(source.tables))
    source.notes += _notes(database, star)
    return Draft(source=source, star=star, folder=folder, model=files.write_folder(folder, source, star, force=force))


def _nothing(credentials: Credentials, database: catalog.Database, left_out: Sequence[LeftOut]) -> Exception:
    where = f"database {database.name}, schemas {', '.join(map(names.shown, database.schemas)) or 'none'}"
    if not left_out:
        return SourceError(f"{where}: there are no tables", do="check the URL's last part, or --schema")
    first = left_out[0]
    if not any(relation.readable for relation in database.relations):
        return SourceError(
            f"{where}: {credentials.username} may read none of {len(database.relations)} tables and views", do=first.do
        )
    more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
    return ModelError(f"{where}: nothing can be drafted: {first.where} {first.why}{more}", do=first.do)


def _notes(database: catalog.Database, star: StarDraft) -> list[str]:
    found = []
    if database.version < catalog.EXTRACTION_NEEDS:
        found.append(f"the server is PostgreSQL {database.version // 10_000}: a tick needs 13 or newer")
    if not any(made.is_fact for made in star.tables):
        found.append("no foreign key joins two tables whose keys a star can hold: it has no fact, write it by hand")
    return found + [note for made in star.tables for note in made.notes]

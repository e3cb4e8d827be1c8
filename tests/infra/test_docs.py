"""What the pages say about the deployment, against the deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from cdk_app.settings import _INTERVALS, REPO, Settings, TimeLimitMinutes, WorkerNumbers

if TYPE_CHECKING:
    from pathlib import Path

DOCS: Final = REPO / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def table(text: str, first: str) -> list[list[str]]:
    """Rows of the table whose first heading is given."""
    lines = text[text.index(f"| {first} |") :].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:] if line.startswith("|")]
    end = next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines)) - 2
    return rows[:end]


def test_every_setting_is_explained_with_its_default() -> None:
    rows = {row[0].strip("`"): row[1] for row in table(page("deploy.md"), "Setting")}
    assert rows.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        if field.is_required():
            assert rows[name] == ("from `STAGE`" if name == "stage" else "required")
        elif isinstance(field.default, int | str):
            assert rows[name].strip("`") == str(field.default)
    workers = WorkerNumbers()
    assert rows["workers"] == f"{workers.extract}, {workers.transform}, {workers.load}, {workers.maintain}"
    limits = TimeLimitMinutes()
    assert rows["time_limits"] == f"{limits.extract}, {limits.transform}, {limits.load}, {limits.maintain}"


def dpu_seconds(cell: str) -> int:
    """``3 x 90 s`` -> 270."""
    if cell == "-":
        return 0
    workers, seconds = re.fullmatch(r"(\d+) x (\d+) s", cell).groups()  # type: ignore[union-attr]
    assert int(seconds) >= 60, "Glue's minimum"
    return int(workers) * int(seconds)


def test_the_costs_follow_from_the_assumptions() -> None:
    text = page("cost.md")
    price = float(re.search(r"\*\*([\d.]+) USD per DPU-hour\*\*", text)[1])  # type: ignore[index]
    sizes = {row[0].partition(":")[0]: row[1:] for row in table(text, "Size")}
    for cells in sizes.values():
        assert sum(dpu_seconds(cell) for cell in cells[:3]) == int(cells[3].replace(",", ""))
    for minutes, runs, *costs in table(text, "Interval (minutes)"):
        assert int(minutes) in _INTERVALS
        number = round(30.4 * 24 * 60 / int(minutes))
        assert int(runs.replace(",", "")) == number
        for (_, cells), cost in zip(sizes.items(), costs, strict=True):
            seconds = [int(cell.split()[2]) if cell != "-" else 0 for cell in cells[:3]]
            if sum(seconds) > int(minutes) * 60:
                assert cost == "too short"
            else:
                dear = number * int(cells[3].replace(",", "")) / 3600 * price
                assert int(cost.replace(",", "")) == round(dear)


PAGES: Final = [*REPO.glob("*.md"), *DOCS.rglob("*.md")]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(REPO)))
def test_links_lead_to_pages_and_sections(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", file.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        other = file.parent / name if name else file
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ +(.+)$", other.read_text(encoding="utf-8"), flags=re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in known, target


# Paths are the repository's, or go on from the library's folder.
ROOTS: Final = (REPO, REPO / "glue_jobs" / "tidemark")
# Made where it runs, or an example's name.
NOT_COMMITTED: Final = {
    "settings.dev.json",
    "settings.prod.json",
    "published.json",
    "maintenance.json",
    "model/shop",
    "model/NAME",
}
FILE_ENDINGS: Final = (".py", ".sql", ".sh", ".yml", ".json", ".toml", ".md", ".lock", ".csv")


def paths(text: str) -> set[str]:
    """What a page names in backticks that begins with a folder of the repository or has the ending of a source file."""
    quoted = re.findall(r"(?<!`)`(\.?\w[\w./-]*)`(?!`)", text)
    folders = {file.name for file in REPO.iterdir() if file.is_dir()} - {".venv"}
    below = {path for path in quoted if "/" in path and path.partition("/")[0] in folders}
    files = {path for path in quoted if path.endswith(FILE_ENDINGS) and path not in FILE_ENDINGS}
    return (below | files) - NOT_COMMITTED


def test_a_page_s_paths_are_found() -> None:
    text = "`glue_jobs/tidemark/none.py` `source.yml` `.ci/none` `tests/none` `.venv/bin/pytest` `etl.load_ledger` `.sql` `a/b`"
    assert paths(text) == {"glue_jobs/tidemark/none.py", "source.yml", ".ci/none", "tests/none"}


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(REPO)))
def test_every_path_that_a_page_names_is_there(file: Path) -> None:
    """A name without a folder is that of some file of the example's model, of the tests or of the workflows."""
    short = {found.name for root in ("model", "tests", ".github") for found in (REPO / root).rglob("*.*")}
    missing = {path for path in paths(file.read_text(encoding="utf-8")) if not any((r / path).exists() for r in ROOTS)}
    assert not sorted(path for path in missing if "/" in path or path not in short)

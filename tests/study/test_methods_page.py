"""The page on methods says what the points say, and is up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from synthetic_study import write_study

from pipeline.reporting.story import MINUS
from pipeline.stages import report
from pipeline.study import methods
from pipeline.study.methods import NOT_MEASURED, Comparison, Entry, entries, methods_page
from pipeline.study.records import Point, points_in

DOCUMENTS = Path("docs")
ENTRY = Entry(
    name="Fewer units, then weights",
    do=("prune",),
    source="Nobody et al.",
    claim="everything for nothing",
    use="always",
    avoid="never",
    comparisons=(
        Comparison(study="net", budget="equal steps", points=("unit50-weight80", "unit50")),
        Comparison(study="other", budget="equal bytes", points=("unit50",)),
    ),
)


def cells(page: str, start: str) -> list[str]:
    (line,) = re.findall(rf"^\| {re.escape(start)} \|.*$", page, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_numbers_are_those_of_the_points(tmp_path: Path) -> None:
    write_study(tmp_path / "net")
    page = methods_page((ENTRY,), tmp_path)
    link = "[Fewer units, then weights](#fewer-units-then-weights)"
    # The dense network in integers is 0.01 dB worse than in floating point.
    assert cells(page, link)[1] == (
        f"equal steps: unit50-weight80 {MINUS}0.59 dB, 61,000 bytes, 48,000 cycles; "
        f"unit50 {MINUS}0.05 dB, 240,000 bytes, 48,000 cycles"
    )
    compared = page[page.index("equal steps (`net`)") :]
    row = cells(compared[: compared.index("equal bytes")], "unit50-weight80")
    assert row[1:3] == [f"{MINUS}0.59", f"{MINUS}0.60"] and row[-1] == "2"
    assert cells(compared[compared.index("equal bytes") :], "unit50")[1] == NOT_MEASURED


def test_cycles_are_the_mean_of_all_hops(tmp_path: Path) -> None:
    write_study(tmp_path / "net")
    path = points_in(tmp_path / "net") / "unit50.json"
    shares = {"computed_share": 0.25, "computed_in_speech": 0.3, "computed_in_pauses": 0.125}
    Point.load(path).model_copy(update=shares).save(path)
    page = methods_page((ENTRY,), tmp_path)
    row = cells(page[page.index("equal steps (`net`)") :].partition("equal bytes")[0], "unit50")
    assert row[-6:] == ["12,000", "48,000", "25%", "30%", "12%", "1"]


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert methods_page(entries(), DOCUMENTS) == (DOCUMENTS / methods.PAGE).read_text()


def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", "--methods", str(tmp_path)])
    report.main()
    assert NOT_MEASURED in (tmp_path / methods.PAGE).read_text()
    assert capsys.readouterr().out == f"methods: {tmp_path / methods.PAGE}\n"

"""The study's page is made again from its points, and says what they say."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest
from synthetic_study import PARAMETERS, UNIT, point, write_study

from pipeline.reporting.story import MINUS
from pipeline.reporting.tables import NO_VALUE
from pipeline.stages import report
from pipeline.study.page import BEGIN, END, write_page
from pipeline.study.plots import front
from pipeline.study.records import StudyError, points_in, read_study
from pipeline.study.summary import Study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_study(tmp_path)
    return tmp_path


def row_of(page: str, start: str) -> list[str]:
    (line,) = re.findall(rf"^\| {re.escape(start)}.*$", page, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_targets_name_the_best_point_within_the_loss(folder: Path) -> None:
    page = write_page(folder).read_text()
    smaller = row_of(page, "smaller: float32 bytes")
    assert smaller[1:4] == ["42", "42", "60"]
    # 60,000 and 62,000 bytes lose 0.25 and 0.35 dB SDR, too much; the units lose 0.03.
    assert smaller[4] == "no"
    assert smaller[5] == f"{4 * PARAMETERS / 240_000:.1f} (unit50, {MINUS}0.03 dB SDR)"
    factor = 2 * PARAMETERS / 60_000 + 2 * PARAMETERS / 62_000
    assert smaller[6] == f"{factor:.1f} (unit50-weight80, {MINUS}0.30 dB SDR, mean of 2 seeds)"
    faster = row_of(page, "faster: total cycles")
    factor = (550 / 62 + 550 / 64) / 2
    assert faster[5] == f"{factor:.1f} (unit50-weight80, {MINUS}0.30 dB SDR, mean of 2 seeds)"
    assert faster[6] == NO_VALUE
    copied = row_of(page, "faster: dense in flash / sparse copied")
    assert copied[5] == f"{550 / 48:.1f} (unit50, {MINUS}0.03 dB SDR)"
    both = row_of(page, "faster: both in SRAM")
    assert both[4:6] == ["no", f"{136 / 48:.1f} (unit50, {MINUS}0.03 dB SDR)"]


def test_smallest_that_beats_the_peer(folder: Path) -> None:
    page = write_page(folder).read_text()
    section = page[page.index("Smallest models that beat RNNoise") :]
    first = section.splitlines()[4]
    assert first.startswith("| unit50-weight80, mean of 2 seeds | 61,000 | 6.50 |")
    assert "offline80" not in section[: section.index("| RNNoise")]


def test_repetitions_are_summed_up(folder: Path) -> None:
    page = write_page(folder).read_text()
    section = page[page.index("Models made again with other seeds") :]
    cells = row_of(section[: section.index("What the points")], "unit50-weight80")
    assert cells[1:3] == ["1, 2", f"{MINUS}0.60 ± 0.14"]
    assert cells[5:] == ["61,000 ± 1,414", "63,000 ± 1,414", "48,000 ± 0"]


def test_one_good_seed_does_not_reach_a_target(folder: Path) -> None:
    lucky = point((UNIT,), 80_000, 80_000, 40_000, 0.06, base="unit50", seed=2)
    lucky = lucky.model_copy(update={"name": "unit50-seed2"})
    lucky.save(points_in(folder) / "unit50-seed2.json")
    best = row_of(write_page(folder).read_text(), "smaller: float32 bytes")[5]
    factor = 2 * PARAMETERS / 240_000 + 2 * PARAMETERS / 80_000
    assert best == f"{factor:.1f} (unit50, +0.00 dB SDR, mean of 2 seeds)"


def test_a_plot_has_one_mark_for_all_seeds(folder: Path) -> None:
    write_page(folder)
    assert "SI-SDR loss against bytes in flash: 4 models" in (folder / "flash.svg").read_text()


def test_a_copy_that_does_not_fit_is_left_out(folder: Path) -> None:
    page = write_page(folder).read_text()
    section = page[page.index("Total cycles of one hop and its latency (vela), weights copied") :]
    assert row_of(section[: section.index("weights in SRAM")], "dense-int8")[1:] == [NO_VALUE] * 2


def test_words_around_the_generated_part_stay(folder: Path) -> None:
    page = write_page(folder)
    generated = page.read_text()
    page.write_text("before\n" + generated[generated.index(BEGIN) :] + "after\n")
    again = write_page(folder).read_text()
    assert again.startswith(f"before\n{BEGIN}") and again.endswith("\nafter\n")
    assert again[again.index(BEGIN) : again.index(END)] in generated
    page.write_text("no marks")
    with pytest.raises(StudyError, match=r"README\.md: the marks of the generated part"):
        write_page(folder)


def test_plots_are_files_of_their_own_for_light_and_dark(folder: Path) -> None:
    write_page(folder)
    for name in ("flash.svg", "npu_cycles.svg", "total_cycles.svg"):
        svg = (folder / name).read_text()
        xml.etree.ElementTree.fromstring(svg)
        assert "prefers-color-scheme: dark" in svg and "http://www.w3.org/2000/svg" in svg
        used = set(re.findall(r"var\((--[a-z0-9-]+)\)", svg))
        assert all(svg.count(f"{variable}: #") == 2 for variable in used)


def test_front_holds_what_nothing_beats() -> None:
    assert front([(3, 0.1), (1, 0.9), (2, 0.9), (2, 0.5), (4, 0.2)]) == [
        (1, 0.9), (2, 0.5), (3, 0.1),
    ]  # fmt: skip


def test_kinds_of_structure(folder: Path) -> None:
    _, points = read_study(folder)
    assert {point.name: point.structure for point in points} == {
        "dense-int8": "dense",
        "unit50": "unit",
        "unit50-weight80": "combination",
        "unit50-weight80-seed2": "combination",
        "offline80": "offline",
    }


def test_a_damaged_point_is_named(folder: Path) -> None:
    path = points_in(folder) / "unit50.json"
    whole = json.loads(path.read_text())
    path.write_text("{")
    with pytest.raises(StudyError, match=r"unit50\.json: not a point .* delete it"):
        write_page(folder)
    del whole["quality"]["stoi"]
    path.write_text(json.dumps(whole))
    with pytest.raises(StudyError, match=r"unit50\.json: .*quality\.stoi"):
        write_page(folder)


def test_without_a_dense_integer_network_there_is_nothing_to_compare(folder: Path) -> None:
    (points_in(folder) / "dense-int8.json").unlink()
    with pytest.raises(StudyError, match=r"add a variant with .* no methods"):
        Study.of(*read_study(folder))


def test_an_empty_study_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", "--study", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        report.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "holds no finished study; run `python -m pipeline.sweep --export" in message

"""The page that sets networks beside public enhancers says what scores and points say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_study import write_study

from pipeline.study import networks
from pipeline.study.networks import FOLDER, METRICS, PAGE, entries, page, write_networks
from pipeline.study.records import StudyError

DOCUMENTS = Path("docs")


def write_scores(documents: Path, file: str, **systems: float) -> Path:
    def statistic(mean: float) -> dict[str, float]:
        return {"mean": mean, "standard_error": 0.1, "valid": 4, "total": 4}

    path = documents / FOLDER / file
    path.parent.mkdir(exist_ok=True)
    found = {
        name: {"overall": {metric: statistic(value) for metric in METRICS}, "clips": {}}
        for name, value in systems.items()
    }
    path.write_text(json.dumps(found))
    return path


def cells(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_scores_are_those_written_and_costs_those_of_the_points(tmp_path: Path) -> None:
    write_study(tmp_path / "net")
    write_scores(tmp_path, "peers.json", noisy=1.0, DTLN=8.25, RNNoise=5.5)
    write_scores(tmp_path, "models.json", noisy=1.0, unit50=7.125, **{"dense-int8": 7.5})
    text = write_networks(tmp_path).read_text(encoding="utf-8")
    assert "; 4 mixtures whose" in text
    assert cells(text, "DTLN")[1:6] == ["8.25", "8.25", "8.25", "8.250", "8.25"]
    assert cells(text, "unit50")[4:7] == ["7.125", "7.12", "240,000"]
    assert cells(text, "unit50")[-2:] == ["250,000", "48,000"]
    places = [text.index(f"| {name} |") for name in ("noisy", "RNNoise", "DTLN", "unit50")]
    assert places == sorted(places) and text.index("| dense-int8 |") > places[-1]
    picture = (tmp_path / FOLDER / "si_sdr_db.svg").read_text(encoding="utf-8")
    assert all(name in picture for name in ("DTLN", "RNNoise", "unit50"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no scores; run"):
        entries(tmp_path)
    path = write_scores(tmp_path, "peers.json", noisy=1.0)
    text = path.read_text().replace("pesq_wb", "other")
    path.write_text(text)
    with pytest.raises(StudyError, match=r"peers\.json: noisy has no pesq_wb; run again"):
        entries(tmp_path)
    path.write_text("[]")
    with pytest.raises(StudyError, match=r"peers\.json: no scores"):
        entries(tmp_path)
    path.write_text("{}")
    with pytest.raises(StudyError, match="no scores; run"):
        entries(tmp_path)


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path / "net")
    write_study(tmp_path / "other")
    write_scores(tmp_path, "models.json", unit50=7.0)
    with pytest.raises(StudyError, match="which one is 'unit50'"):
        entries(tmp_path)


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert page(entries(DOCUMENTS)) == (DOCUMENTS / networks.FOLDER / PAGE).read_text()

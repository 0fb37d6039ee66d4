"""Run directory: nothing half-written, nothing computed twice."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.artefacts import ArtefactError, RunDir, stage
from pipeline.config import Config, Model

calls: list[str] = []


def body(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    calls.append("ran")
    kept = work_dir / "checkpoint"
    if not kept.exists():
        kept.write_text("half way")
        if config.seed == 13:
            raise KeyboardInterrupt
    calls.append(kept.read_text())
    (work_dir / "output.txt").write_text(str(config.model.bands))
    return {"bands": config.model.bands}


run = stage("fake", needs=(), sections=("model",))(body)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    first = run(Config(), RunDir(tmp_path), False)
    assert run(Config(), RunDir(tmp_path), False) == first
    assert calls.count("ran") == 1
    assert first.results == {"bands": 128}
    assert set(first.outputs) == {"checkpoint", "output.txt"}


def test_it_runs_again_when_forced_changed_or_damaged(tmp_path: Path) -> None:
    run(Config(), RunDir(tmp_path), False)
    run(Config(), RunDir(tmp_path), True)
    changed = run(Config(model=Model(bands=64)), RunDir(tmp_path), False)
    assert (tmp_path / "fake" / "output.txt").read_text() == "64"
    (tmp_path / "fake" / "output.txt").unlink()
    assert run(Config(model=Model(bands=64)), RunDir(tmp_path), False).key == changed.key
    assert calls.count("ran") == 4


def test_a_setting_of_another_section_does_not_matter(tmp_path: Path) -> None:
    run(Config(), RunDir(tmp_path), False)
    run(Config.model_validate({"train": {"steps": 3}}), RunDir(tmp_path), False)
    assert calls.count("ran") == 1


def test_an_interrupted_stage_leaves_no_folder_and_continues(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Config(seed=13), RunDir(tmp_path), False)
    assert not (tmp_path / "fake").exists()
    with pytest.raises(ArtefactError, match=r"run `python -m pipeline\.fake --run-dir"):
        RunDir(tmp_path).card("fake")
    run(Config(seed=13), RunDir(tmp_path), False)
    assert calls == ["ran", "ran", "half way"]


def test_leftovers_of_other_settings_are_not_continued(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Config(seed=13), RunDir(tmp_path), False)
    (tmp_path / ".fake.partial" / "checkpoint").write_text("from another seed")
    run(Config(seed=14), RunDir(tmp_path), False)
    assert "from another seed" not in calls


def test_a_damaged_card_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "card.json").write_text("{}")
    with pytest.raises(ArtefactError, match="not a stage card"):
        RunDir(tmp_path).card("fake")

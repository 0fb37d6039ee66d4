"""Run directory: nothing half-written, nothing computed twice."""

import importlib.metadata
import os
import shutil
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from pipeline.artefacts import ArtefactError, RunDir, Stage, stage
from pipeline.compression.methods.start_from import StartFrom
from pipeline.config import Compress, Config, Data, Train, Variant
from pipeline.digests import Digests, sha256_file
from pipeline.errors import InputError
from pipeline.models import Model, models
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.tools.run import STAGES

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


run = stage("fake", needs=(), settings=("seed", "model"))(body)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    first = run.make(Config(), RunDir(tmp_path))
    assert run.make(Config(), RunDir(tmp_path)) == first
    assert calls.count("ran") == 1
    assert first.results == {"bands": 128}
    assert set(first.outputs) == {"checkpoint", "output.txt"}


def test_it_runs_again_when_forced_changed_or_damaged(tmp_path: Path) -> None:
    run.make(Config(), RunDir(tmp_path))
    run.make(Config(), RunDir(tmp_path), force=True)
    changed = run.make(Config(model=TinyLSTMs(bands=64)), RunDir(tmp_path))
    assert (tmp_path / "fake" / "output.txt").read_text() == "64"
    (tmp_path / "fake" / "output.txt").unlink()
    assert run.make(Config(model=TinyLSTMs(bands=64)), RunDir(tmp_path)).key == changed.key
    assert calls.count("ran") == 4


def test_a_setting_of_another_section_does_not_matter(tmp_path: Path) -> None:
    run.make(Config(), RunDir(tmp_path))
    run.make(Config.model_validate({"train": {"batch_size": 3}}), RunDir(tmp_path))
    assert calls.count("ran") == 1


def test_an_interrupted_stage_leaves_no_folder_and_continues(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.make(Config(seed=13), RunDir(tmp_path))
    assert not (tmp_path / "fake").exists()
    with pytest.raises(ArtefactError, match=r"run `python -m pipeline\.fake --run-dir"):
        RunDir(tmp_path).card("fake")
    run.make(Config(seed=13), RunDir(tmp_path))
    assert calls == ["ran", "ran", "half way"]


def test_leftovers_of_other_settings_are_not_continued(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.make(Config(seed=13), RunDir(tmp_path))
    (tmp_path / ".fake.partial" / "checkpoint").write_text("from another seed")
    run.make(Config(seed=14), RunDir(tmp_path))
    assert "from another seed" not in calls


def test_a_damaged_card_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "card.json").write_text("{}")
    with pytest.raises(ArtefactError, match="not a card"):
        RunDir(tmp_path).card("fake")


def test_other_versions_of_the_tools_make_another_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run.make(Config(), RunDir(tmp_path))
    installed = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "0" if name == "tensorflow" else installed(name),
    )
    second = run.make(Config(), RunDir(tmp_path))
    assert calls.count("ran") == 2
    assert second.key != first.key
    assert second.versions == first.versions | {"tensorflow": "0"}


def test_another_result_of_an_earlier_stage_makes_another_result(tmp_path: Path) -> None:
    after = stage("after", needs=("fake",), settings=("train",))(body)
    run.make(Config(), RunDir(tmp_path))
    first = after.make(Config(), RunDir(tmp_path))
    changed = Config(model=TinyLSTMs(bands=64))
    run.make(changed, RunDir(tmp_path))
    second = after.make(changed, RunDir(tmp_path))
    assert calls.count("ran") == 4
    assert second.config == first.config and second.key != first.key


def test_another_seed_makes_another_result(tmp_path: Path) -> None:
    first = run.make(Config(seed=2), RunDir(tmp_path))
    assert run.make(Config(seed=3), RunDir(tmp_path)).key != first.key


def reading(setting: str) -> Stage:
    return stage("reader", needs=(), settings=(), reads=(setting,))(body)


def test_what_is_in_a_given_file_counts_not_when_it_was_written(tmp_path: Path) -> None:
    given = tmp_path / "given.safetensors"
    given.write_bytes(b"one")
    config = Config(train=Train(initial_weights=given))
    read = reading("train.initial_weights")
    first = read.make(config, RunDir(tmp_path / "run"))
    os.utime(given, ns=(1, 1))
    assert read.make(config, RunDir(tmp_path / "run")) == first
    assert calls.count("ran") == 1
    given.write_bytes(b"two")
    assert read.make(config, RunDir(tmp_path / "run")).key != first.key
    given.unlink()
    with pytest.raises(InputError, match=r"train.initial_weights = '.*given.safetensors': no such"):
        read.make(config, RunDir(tmp_path / "run"))


def test_every_one_of_several_folders_counts(tmp_path: Path) -> None:
    folders = tuple(tmp_path / name for name in ("one", "two"))
    for folder in folders:
        folder.mkdir()
        (folder / "a.wav").write_bytes(b"1")
    read = reading("data.extra_noise_dirs")
    none = read.make(Config(), RunDir(tmp_path / "run"))
    config = Config(data=Data(extra_noise_dirs=folders))
    first = read.make(config, RunDir(tmp_path / "run"))
    (folders[1] / "a.wav").write_bytes(b"2")
    second = read.make(config, RunDir(tmp_path / "run"))
    assert len({none.key, first.key, second.key}) == 3
    shutil.rmtree(folders[0])
    with pytest.raises(InputError, match=r"data.extra_noise_dirs\[0\] = '.*one': no such"):
        read.make(config, RunDir(tmp_path / "run"))


@pytest.mark.parametrize("change", ["written", "renamed", "added", "removed", "behind a link"])
def test_every_file_of_a_given_folder_counts(change: str, tmp_path: Path) -> None:
    folder, store = tmp_path / "clean", tmp_path / "store"
    (folder / "a").mkdir(parents=True)
    store.mkdir()
    (folder / "a" / "1.wav").write_bytes(b"1")
    (store / os.fsdecode(b"Stra\xdfe.wav")).write_bytes(b"2")
    (folder / "link").symlink_to(store)
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "a" / "nowhere").symlink_to(tmp_path / "nothing")
    config = Config(data=Data(source="folders", clean_dir=folder, noise_dir=folder))
    read = reading("data.clean_dir")
    first = read.make(config, RunDir(tmp_path / "run"))
    (folder / ".hidden").touch()
    assert read.make(config, RunDir(tmp_path / "run")) == first
    match change:
        case "written":
            (folder / "a" / "1.wav").write_bytes(b"3")
        case "renamed":
            (folder / "a" / "1.wav").rename(folder / "a" / "2.wav")
        case "added":
            (folder / "a" / "2.wav").write_bytes(b"1")
        case "removed":
            (folder / "a" / "1.wav").unlink()
        case "behind a link":
            (store / "3.wav").touch()
    assert read.make(config, RunDir(tmp_path / "run")).key != first.key


def test_a_damaged_memory_of_digests_is_made_again(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(b"one")
    memory = tmp_path / "digests.json"
    digest = Digests(memory).of("x", given)
    assert digest == sha256_file(given)
    for damage in ("", "[1]", f'{{"{given}": 3}}'):
        memory.write_text(damage)
        assert Digests(memory).of("x", given) == digest


def test_settings_that_cannot_work_are_found_before_anything_runs(tmp_path: Path) -> None:
    def refuse(config: Config) -> None:
        raise InputError("cannot work")

    checked = stage("checked", needs=(), settings=(), check=refuse)(body)
    with pytest.raises(InputError, match="cannot work"):
        checked(Config(), RunDir(tmp_path))
    assert not calls and not list(tmp_path.iterdir())


made: list[str] = []


def make(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    made.append(f"{model.name} {config.seed}")
    (work_dir / "steps").write_text(str(model.variant.steps))
    return {}


def join(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    made.append("join")
    return {}


shrink = stage("shrink/{model}", needs=("shrink/{parent}",), settings=("compress",))(make)
lower = stage("lower/{model}", needs=("shrink/{model}",), settings=())(make)
together = stage("together", needs=("lower/*",), settings=())(join)
A, B, C = (
    Variant(name="a", steps=900),
    Variant(name="b", parent="a", steps=800),
    Variant(name="c", steps=700),
)


def ran(run_dir: RunDir, *variants: Variant, **compress: Any) -> list[str]:
    """What a run with these variants makes."""
    made.clear()
    config = Config(compress=Compress(variants=variants, **compress))
    for each in (shrink, lower, together):
        each(config, run_dir)
    return list(made)


def test_a_variant_more_is_made_and_nothing_else(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    assert ran(run_dir, A, B) == ["a 1", "b 1", "a 1", "b 1", "join"]
    assert ran(run_dir, A, B) == []
    assert ran(run_dir, A, C, B) == ["c 1", "c 1", "join"]
    assert ran(run_dir, A, B) == ["join"]
    assert ran(run_dir, A, C, B) == ["join"]


def test_a_changed_variant_is_made_again_and_what_comes_of_it(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    ran(run_dir, A, B, C)
    other = A.model_copy(update={"steps": 901})
    assert ran(run_dir, other, B, C) == ["a 1", "b 1", "a 1", "b 1", "join"]
    assert ran(run_dir, other, B.model_copy(update={"steps": 801}), C) == ["b 1", "b 1", "join"]
    assert len(ran(run_dir, A, B, C, prune_until=0.5)) == 7


def test_a_file_that_a_method_reads_counts_for_its_variant_alone(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"first")
    method = StartFrom(do="start_from", weights=weights)
    variants, run_dir = (A, Variant(name="given", methods=(method,))), RunDir(tmp_path / "run")
    ran(run_dir, *variants)
    assert ran(run_dir, *variants) == []
    weights.write_bytes(b"second")
    assert ran(run_dir, *variants) == ["given 1", "given 1", "join"]
    weights.unlink()
    with pytest.raises(InputError, match=r"start_from.weights = '.*': no such file"):
        ran(run_dir, *variants)


def test_an_item_with_other_contents_makes_others_of_it(tmp_path: Path) -> None:
    """What was adopted has the key of what would have been made, and is not the same."""
    run_dir = RunDir(tmp_path)
    ran(run_dir, A, B, C)
    config = Config(compress=Compress(variants=(A, B, C)))

    def adopted(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
        (work_dir / "steps").write_text("other")
        return {}

    before = run_dir.card("shrink/c")
    after = shrink.adopt(config, run_dir, adopted, models(config)[2])
    assert after.key == before.key and after.digest != before.digest
    assert ran(run_dir, A, B, C) == ["c 1", "join"]


def test_another_version_of_a_stage_makes_another_result(tmp_path: Path) -> None:
    first = run.make(Config(), RunDir(tmp_path))
    newer = stage("fake", version=2, needs=(), settings=("seed", "model"))(body)
    assert newer.make(Config(), RunDir(tmp_path)).key != first.key


def test_every_setting_that_a_stage_names_exists() -> None:
    for each in STAGES:
        for setting in (*each.settings, *each.reads):
            attrgetter(setting)(Config())

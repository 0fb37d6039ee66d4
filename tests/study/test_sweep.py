"""A toy sweep on Ray: every variant becomes a point once, whatever interrupts it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.artefacts import RunDir
from pipeline.compression.methods.low_rank import LowRank
from pipeline.compression.methods.prune import Prune
from pipeline.config import (
    Compress,
    Config,
    ConfigError,
    Mixing,
    Study,
    Train,
    Variant,
    load,
)
from pipeline.corpora import prepared
from pipeline.corpora.augment import Extras
from pipeline.corpora.testset import LISTS_DIR, read_list, write_list
from pipeline.models import Model, with_repetitions
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.stages import compress, convert, prepare, train
from pipeline.study.points import Bench, adopt_model
from pipeline.study.records import StudyError
from pipeline.tools import sweep

pytest.importorskip("ray", reason="needs the `study` extra")

MIXTURES = 2
VARIANTS = (
    Variant(name="dense-int8"),
    Variant(name="unit50", methods=(Prune(do="prune", structure="unit", sparsity=0.5),)),
    Variant(
        name="unit50-weight80",
        parent="unit50",
        methods=(LowRank(do="low_rank", rank=8), Prune(do="prune", sparsity=0.8)),
    ),
    Variant(
        name="odd-block",
        methods=(Prune(do="prune", structure="block", block=(7, 7), sparsity=0.5),),
    ),
)
ONE_DEPLOYMENT: dict[str, Any] = {"deployments": ({"accelerator": "ethos-u55-128"},), "cpus": 1}
CONFIG = Config(
    mixing=Mixing(crop_s=0.5),
    model=TinyLSTMs(lstm_units=(24, 16), dense_units=16),
    train=Train(steps=2, batch_size=2, validate_every=1, warmup_steps=1),
    compress=Compress(variants=VARIANTS, steps=4, validate_every=2, prune_every=1),
    study=Study.model_validate(ONE_DEPLOYMENT),
)
GOOD = VARIANTS[:3]


def with_variants(*variants: Variant) -> Config:
    compress = CONFIG.compress.model_copy(update={"variants": variants})
    return CONFIG.model_copy(update={"compress": compress})


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A dense network, hardly trained on little data."""
    lists = tmp_path_factory.mktemp("mixtures")
    for split in ("valid", "test"):
        published = read_list(LISTS_DIR / f"embedded_{split}.json")
        short = dataclasses.replace(published, recipes=published.recipes[:MIXTURES])
        write_list(short, lists / f"embedded_{split}.json")
    little = Extras(1, 1, babble_minutes=0.1, procedural_minutes=0.1)
    made = RunDir(tmp_path_factory.mktemp("study") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "LISTS_DIR", lists)
        patch.setattr(prepared, "extras_for", lambda speech_duration_s: little)
        prepare.run(CONFIG, made)
        train.run(CONFIG, made)
    return made


@dataclasses.dataclass(frozen=True)
class Swept:
    """What an interrupted sweep left, and what the one after it said."""

    bench: Bench
    first: dict[str, int]
    problem: str


@pytest.fixture(scope="module")
def swept(run_dir: RunDir) -> Swept:
    bench = sweep.open_bench(CONFIG, run_dir, "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "next_done", interrupted_after_a_point(bench))
        with pytest.raises(KeyboardInterrupt):
            sweep.sweep(bench, with_repetitions(CONFIG))
    first = written(bench)
    with pytest.raises(StudyError) as error:
        sweep.sweep(bench, with_repetitions(CONFIG))
    return Swept(bench, first, str(error.value))


def interrupted_after_a_point(bench: Bench) -> Any:
    """Wait for one point, then be interrupted; leaving the sweep kills Ray's workers."""
    whole = sweep.next_done

    def wait(pending: dict[Any, str]) -> tuple[str, str | None]:
        if any(bench.run_dir.path(f"point/{variant.name}").exists() for variant in GOOD):
            raise KeyboardInterrupt
        return whole(pending)

    return wait


def written(bench: Bench) -> dict[str, int]:
    """When each point was written, ns."""
    cards = bench.run_dir.path("point").glob("[!.]*/card.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in cards}


def model(name: str) -> Model:
    return next(m for m in with_repetitions(CONFIG) if m.name == name)


def test_an_interrupted_sweep_goes_on_where_it_was(swept: Swept) -> None:
    assert {"dense"} < set(swept.first) < {"dense", *(v.name for v in GOOD)}
    after = written(swept.bench)
    assert set(after) == {"dense", *(variant.name for variant in GOOD)}
    assert {name: after[name] for name in swept.first} == swept.first


def test_one_that_fails_is_named_and_does_not_stop_the_others(swept: Swept) -> None:
    assert swept.problem.startswith("1 of 5 points could not be made:\n  odd-block: InputError: ")
    assert "is not a whole number of 7 x 7 blocks" in swept.problem


def test_a_point_holds_how_it_was_made_how_good_it_is_and_what_it_costs(swept: Swept) -> None:
    point = swept.bench.point("unit50-weight80")
    assert [variant.name for variant in point.chain] == ["unit50", "unit50-weight80"]
    assert point.structure == "combination"
    assert sum(n for name, n in point.units.items() if "basis" not in name) <= (24 + 16 + 16) / 2
    dense = swept.bench.reference()
    before, after = dense.systems["dense_float"], point.quality
    for metric in ("si_sdr_db", "sdr_db", "pesq_wb", "stoi"):
        means = [getattr(scores, metric).mean for scores in (before, after, point.change)]
        assert means[1] - means[0] == pytest.approx(means[2], abs=1e-9), metric
    assert point.quality.si_sdr_db.total == MIXTURES
    assert len(dense.clips) == MIXTURES


def test_placements_differ_by_where_the_constants_are(swept: Swept) -> None:
    point = swept.bench.point("dense-int8")
    assert [cost.placement for cost in point.costs] == ["flash", "sram_copy", "sram"]
    flash, copied, sram = point.costs
    assert flash.boot is None and flash.sram_bytes == flash.arena_bytes
    assert copied.boot is not None and copied.boot.bytes == copied.flash.constants
    # High-End flash gives a byte a cycle.
    assert copied.boot.cycles == copied.boot.bytes
    assert copied.sram_bytes == copied.boot.bytes + copied.arena_bytes
    assert copied.total_cycles == sram.total_cycles < flash.total_cycles


def test_nothing_is_made_again(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "ray_cluster", None)
    sweep.sweep(swept.bench, with_repetitions(with_variants(*GOOD)))


def test_a_damaged_point_is_not_finished(swept: Swept) -> None:
    card = swept.bench.run_dir.path("point/unit50") / "card.json"
    whole = card.read_text()
    card.write_text(whole[:-20])
    try:
        assert not swept.bench.is_finished(swept.bench.need(model("unit50")))
    finally:
        card.write_text(whole)


def test_every_setting_that_matters_makes_another_point(swept: Swept) -> None:
    def is_finished(config: Config, model: Model) -> bool:
        bench = dataclasses.replace(swept.bench, config=config)
        return bench.is_finished(bench.need(model))

    unit = model("unit50")
    assert is_finished(CONFIG, unit)
    less_sram = CONFIG.study.model_copy(update={"sram_bytes": 1})
    for config in (
        CONFIG.model_copy(update={"study": less_sram}),
        CONFIG.model_copy(update={"mixing": Mixing(crop_s=0.6)}),
        CONFIG.model_copy(update={"compress": CONFIG.compress.model_copy(update={"steps": 5})}),
    ):
        assert not is_finished(config, unit)
    sparser = unit.variant.model_copy(
        update={"methods": (Prune(do="prune", structure="unit", sparsity=0.6),)}
    )
    assert not is_finished(CONFIG, dataclasses.replace(unit, chain=(sparser,)))
    assert not is_finished(CONFIG, dataclasses.replace(unit, seed=2))
    # Other variants do not matter.
    assert is_finished(with_variants(VARIANTS[1]), unit)


def test_run_and_sweep_share_what_is_finished(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever a stage would do, it would first make its folder.
    monkeypatch.setattr(Path, "mkdir", None)
    config = with_variants(*GOOD)
    assert len(compress.run(config, swept.bench.run_dir)) == len(GOOD)
    assert len(convert.run(config, swept.bench.run_dir)) == len(GOOD)


def test_a_model_trained_elsewhere_is_taken_over(
    swept: Swept, run_dir: RunDir, tmp_path: Path
) -> None:
    for item in ("prepare", "train"):
        shutil.copytree(run_dir.path(item), tmp_path / item, copy_function=os.link)
    elsewhere = swept.bench.run_dir.path("compress")
    bench = dataclasses.replace(swept.bench, run_dir=RunDir(tmp_path))
    assert not adopt_model(bench, model("unit50-weight80"), elsewhere)  # Its parent is missing.
    assert adopt_model(bench, model("unit50"), elsewhere)
    assert adopt_model(bench, model("unit50-weight80"), elsewhere)
    assert not adopt_model(bench, model("odd-block"), elsewhere)
    assert bench.is_finished(("compress", model("unit50-weight80")))
    weights = "compress/unit50/unit50.safetensors"
    assert (tmp_path / weights).read_bytes() == (run_dir.root / weights).read_bytes()


def test_a_model_is_finished_or_not(swept: Swept) -> None:
    known = with_repetitions(CONFIG)
    finished = {m.name: swept.bench.is_finished(("compress", m)) for m in known}
    assert finished == {variant.name: variant in GOOD for variant in VARIANTS}


def test_finished_points_are_exported(swept: Swept, tmp_path: Path) -> None:
    sweep.export(swept.bench, with_repetitions(CONFIG), tmp_path)
    exported = {path.stem for path in (tmp_path / "points").glob("*.json")}
    assert exported == {"dense", *(variant.name for variant in GOOD)}


def test_headline_variants_are_repeated_with_what_they_come_from() -> None:
    study = Study(headline=("unit50-weight80",), seeds=(1, 2))
    tasks = with_repetitions(with_variants(*GOOD).model_copy(update={"study": study}))
    assert [(t.name, t.seed) for t in tasks[:3]] == [(v.name, 1) for v in GOOD]
    (repeated,) = tasks[3:]
    assert (repeated.name, repeated.base, repeated.seed) == (
        "unit50-weight80-seed2", "unit50-weight80", 2,
    )  # fmt: skip
    assert [variant.name for variant in repeated.chain] == ["unit50-seed2", repeated.name]
    assert repeated.chain[1].parent == "unit50-seed2"


def test_a_variant_cannot_have_the_name_of_a_repetition() -> None:
    taken = tuple(Variant(name=name) for name in ("small", "small-seed2"))
    compress = Compress(variants=taken)
    study = Study(headline=("small",), seeds=(1, 2))
    with pytest.raises(ValueError, match=r"'small-seed2' is that of 'small' with seed 2 of study"):
        Config(compress=compress, study=study)
    Config(compress=compress, study=Study(headline=("small",), seeds=(1, 3)))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('headline = ["other"]\nseeds = [2]', "study.headline: 'other' is none of the variants"),
        ("cpus = 0", "study.cpus = 0"),
        ("sram_byte = 1", "did you mean 'study.sram_bytes'"),
        ("seeds = [1, 2]", "study: seeds repeats nothing without headline"),
        ('headline = ["dense-int8"]', "study: headline repeats nothing without seeds"),
        ('headline = ["dense-int8"]\nseeds = [2, 2]', "study.seeds: 2 is given twice"),
        ("deployments = []", "study.deployments"),
        ('deployments = [{ accelerator = "ethos-u55-512" }]', "accelerator = 'ethos-u55-512'"),
        ('deployments = [{ system = "U99" }]', "unknown system 'U99'; choose one of Ethos_U55"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, settings: str, problem: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f"[study]\n{settings}\n")
    with pytest.raises(ConfigError, match=problem):
        load(path)

"""A toy sweep on Ray: every variant becomes a point once, whatever interrupts it."""

from __future__ import annotations

import dataclasses
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
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.stages import prepare, train
from pipeline.study.plan import Task, plan
from pipeline.study.points import Bench, adopt_model, make_model
from pipeline.study.records import Point, Reference, StudyError
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
            sweep.sweep(bench, plan(CONFIG))
    first = written(bench)
    with pytest.raises(StudyError) as error:
        sweep.sweep(bench, plan(CONFIG))
    return Swept(bench, first, str(error.value))


def interrupted_after_a_point(bench: Bench) -> Any:
    """Wait for one point, then be interrupted; leaving the sweep kills Ray's workers."""
    whole = sweep.next_done

    def wait(pending: dict[Any, str]) -> tuple[str, str | None]:
        if any(bench.point(variant.name).exists() for variant in GOOD):
            raise KeyboardInterrupt
        return whole(pending)

    return wait


def written(bench: Bench) -> dict[str, int]:
    """When each point was written, ns."""
    return {path.stem: path.stat().st_mtime_ns for path in bench.point("x").parent.glob("*.json")}


def task(name: str) -> Task:
    return next(t for t in plan(CONFIG) if t.name == name)


def test_an_interrupted_sweep_goes_on_where_it_was(swept: Swept) -> None:
    assert {"dense"} < set(swept.first) < {"dense", *(v.name for v in GOOD)}
    after = written(swept.bench)
    assert set(after) == {"dense", *(variant.name for variant in GOOD)}
    assert {name: after[name] for name in swept.first} == swept.first


def test_one_that_fails_is_named_and_does_not_stop_the_others(swept: Swept) -> None:
    assert swept.problem.startswith("1 of 5 points could not be made:\n  odd-block: InputError: ")
    assert "is not a whole number of 7 x 7 blocks" in swept.problem


def test_a_point_holds_how_it_was_made_how_good_it_is_and_what_it_costs(swept: Swept) -> None:
    point = Point.load(swept.bench.point("unit50-weight80"))
    assert [variant.name for variant in point.chain] == ["unit50", "unit50-weight80"]
    assert point.structure == "combination"
    assert sum(n for name, n in point.units.items() if "basis" not in name) <= (24 + 16 + 16) / 2
    dense = Reference.load(swept.bench.point("dense"))
    before, after = dense.systems["dense_float"], point.quality
    for metric in ("si_sdr_db", "sdr_db", "pesq_wb", "stoi"):
        means = [getattr(scores, metric).mean for scores in (before, after, point.change)]
        assert means[1] - means[0] == pytest.approx(means[2], abs=1e-9), metric
    assert point.quality.si_sdr_db.total == MIXTURES
    assert len(dense.clips) == MIXTURES


def test_placements_differ_by_where_the_constants_are(swept: Swept) -> None:
    point = Point.load(swept.bench.point("dense-int8"))
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
    sweep.sweep(swept.bench, plan(with_variants(*GOOD)))


def test_a_damaged_point_is_named_before_anything_starts(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "ray_cluster", None)
    path = swept.bench.point("unit50")
    whole = path.read_text()
    path.write_text(whole[:-20])
    try:
        with pytest.raises(StudyError, match=r"unit50\.json: not a point of the study"):
            sweep.sweep(swept.bench, plan(CONFIG))
    finally:
        path.write_text(whole)


def test_every_setting_that_matters_makes_another_point(swept: Swept) -> None:
    bench, unit = swept.bench, task("unit50")
    assert bench.has_point(unit)
    less_sram = CONFIG.study.model_copy(update={"sram_bytes": 1})
    for config in (
        CONFIG.model_copy(update={"study": less_sram}),
        CONFIG.model_copy(update={"mixing": Mixing(crop_s=0.6)}),
        CONFIG.model_copy(update={"compress": CONFIG.compress.model_copy(update={"steps": 5})}),
    ):
        assert not dataclasses.replace(bench, config=config).has_point(unit)
    sparser = unit.chain[0].model_copy(
        update={"methods": (Prune(do="prune", structure="unit", sparsity=0.6),)}
    )
    assert not bench.has_point(dataclasses.replace(unit, chain=(sparser,)))
    assert not bench.has_point(dataclasses.replace(unit, seed=2))
    # Other variants do not matter.
    assert dataclasses.replace(bench, config=with_variants(VARIANTS[1])).has_point(unit)


def test_a_model_made_with_other_settings_is_neither_used_nor_deleted(swept: Swept) -> None:
    with pytest.raises(StudyError, match=r"models/unit50: made with other settings .* delete it"):
        make_model(swept.bench, dataclasses.replace(task("unit50"), seed=2))
    assert (swept.bench.models / "unit50" / "result.json").exists()


def test_a_model_trained_elsewhere_is_taken_over(swept: Swept, tmp_path: Path) -> None:
    bench = dataclasses.replace(swept.bench, folder=tmp_path)
    assert adopt_model(bench, task("unit50"), swept.bench.models)
    assert not adopt_model(bench, task("odd-block"), swept.bench.models)
    make_model(bench, task("unit50"))
    assert (bench.models / "unit50" / "unit50.safetensors").exists()


def test_a_model_is_finished_or_not(swept: Swept) -> None:
    models = {t.name: swept.bench.has_model(t) for t in plan(CONFIG)}
    assert models == {variant.name: variant in GOOD for variant in VARIANTS}


def test_finished_points_are_exported(swept: Swept, tmp_path: Path) -> None:
    sweep.export(swept.bench, plan(CONFIG), tmp_path)
    exported = {path.stem for path in (tmp_path / "points").glob("*.json")}
    assert exported == {"dense", *(variant.name for variant in GOOD)}


def test_headline_variants_are_repeated_with_what_they_come_from() -> None:
    study = Study(headline=("unit50-weight80",), seeds=(1, 2))
    tasks = plan(with_variants(*GOOD).model_copy(update={"study": study}))
    assert [(t.name, t.seed) for t in tasks[:3]] == [(v.name, 1) for v in GOOD]
    (repeated,) = tasks[3:]
    assert (repeated.name, repeated.base, repeated.seed) == (
        "unit50-weight80-seed2", "unit50-weight80", 2,
    )  # fmt: skip
    assert [variant.name for variant in repeated.chain] == ["unit50-seed2", repeated.name]
    assert repeated.chain[1].parent == "unit50-seed2"


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

"""The search asks for chains that make sense, counts its trials and survives a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic_study import point

from pipeline.artefacts import CARD_NAME, Card, Need, RunDir, write_json
from pipeline.config import Compress, Config, Variant
from pipeline.study import search
from pipeline.study.points import Bench

optuna = pytest.importorskip("optuna", reason="needs the `study` extra")


class Chosen:
    """Answers what it was given."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        assert self._answers[name] in choices
        return self._answers[name]


def sparsity_of(variant: Variant) -> float:
    return next((m.sparsity for m in variant.methods if hasattr(m, "sparsity")), 0.0)


def chain(**answers: Any) -> tuple[Variant, ...]:
    nothing = {"unit_sparsity": 0.0, "units_in_two_steps": False, "rank": 0, "block": "none"}
    rest = {"block_sparsity": 0.5, "weight_sparsity": 0.8, "effort": 2.0}
    config = Config(compress=Compress(variants=(), steps=100))
    return search.chain(Chosen(**(nothing | rest | answers)), config)


def test_a_chain_removes_units_then_rank_then_blocks_then_weights() -> None:
    made = chain(unit_sparsity=0.75, units_in_two_steps=True, rank=64, block="16x8")
    assert [m.kind for v in made for m in v.methods] == ["unit", "unit", "rank", "block", "weight"]
    assert math.prod(1 - sparsity_of(variant) for variant in made[:2]) == pytest.approx(0.25)
    assert made[2].methods[0].rank == 64
    assert made[3].methods[0].block == (16, 8)
    assert {variant.steps for variant in made} == {200}
    parents = ["dense", *(variant.name for variant in made[:-1])]
    assert [variant.parent for variant in made] == parents
    Compress(variants=made)


def test_weights_that_are_gone_with_the_blocks_are_not_cut_again() -> None:
    assert [v.methods[0].kind for v in chain(block="8x8", weight_sparsity=0.5)] == ["block"]
    assert [sparsity_of(v) for v in chain()] == [0.8]


def test_names_tell_chains_apart_and_share_beginnings() -> None:
    made = [chain(unit_sparsity=0.5, weight_sparsity=w) for w in (0.8, 0.9)]
    assert made[0][0] == made[1][0]
    assert made[0][1].name != made[1][1].name
    assert chain(unit_sparsity=0.5)[0].name != chain(unit_sparsity=0.5, effort=1.0)[0].name


class FakeFarm:
    """Makes points at once; every third task fails."""

    asked: list[str]

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        type(self).asked = []

    def make(self, need: Need) -> str:
        _, model = need
        assert model is not None
        self.asked.append(model.name)
        sparsity = math.prod(1 - sparsity_of(variant) for variant in model.chain)
        size = round(500_000 * sparsity)
        made = point(model.chain, flash=size + 9_000, cycles=size, sram_cycles=1, change=-1 / size)
        item = f"trial/{model.name}"
        card = Card(item, "0", {}, {}, {}, {}, 0.0, made.results(), {})
        self.bench.run_dir.path(item).mkdir(parents=True, exist_ok=True)
        write_json(self.bench.run_dir.path(item) / CARD_NAME, dataclasses.asdict(card))
        return model.name

    @classmethod
    def next_done(cls, pending: dict[str, str]) -> tuple[str, str | None]:
        name = next(iter(pending))
        del pending[name]
        return name, "ValueError: empty" if len(cls.asked) % 3 == 0 else None


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    @contextlib.contextmanager
    def cluster(config: Config) -> Iterator[int]:
        yield 2

    monkeypatch.setattr(search, "ray_cluster", cluster)
    monkeypatch.setattr(search, "Farm", FakeFarm)
    monkeypatch.setattr(search, "next_done", FakeFarm.next_done)
    return Bench(Config(), RunDir(tmp_path), "valid")


def trials(bench: Bench) -> Any:
    storage = f"sqlite:///{bench.run_dir.root / search.STORAGE}"
    return optuna.load_study(study_name=search.STUDY, storage=storage)


def test_trials_are_counted_over_calls_and_failed_ones_too(bench: Bench) -> None:
    search.search(bench, 5)
    assert len(FakeFarm.asked) == 5
    search.search(bench, 8)
    assert len(FakeFarm.asked) == 3
    states = [trial.state.name for trial in trials(bench).trials]
    assert len(states) == 8 and set(states) == {"COMPLETE", "FAIL"}
    search.search(bench, 8)
    assert FakeFarm.asked == []


def test_the_result_is_what_no_trial_beats(bench: Bench) -> None:
    best = search.search(bench, 12)
    values = [trial.values for trial in trials(bench).trials if trial.values]
    assert best
    for made in best:
        flash = made.cost("flash")
        assert flash is not None and made.change.si_sdr_db.mean is not None
        own = (-made.change.si_sdr_db.mean, flash.flash.total, flash.total_cycles)
        assert not any(all(a < b for a, b in zip(other, own)) for other in values)


def test_a_trial_cut_short_is_tried_again(bench: Bench) -> None:
    search.search(bench, 1)
    study = trials(bench)
    cut_short = study.ask()
    expected = [variant.name for variant in search.chain(cut_short, bench.config)]
    search.search(bench, 2)
    assert FakeFarm.asked == [expected[-1]]
    assert len([t for t in trials(bench).trials if search.POINT in t.user_attrs]) == 2

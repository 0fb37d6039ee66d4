"""What the stages ask of the training loop is what the settings say."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.artefacts import RunDir
from pipeline.compression.methods.cluster import Cluster
from pipeline.compression.methods.learn_thresholds import LearnThresholds
from pipeline.compression.methods.prune import Prune
from pipeline.compression.methods.regularize import Regularize
from pipeline.compression.pruner import sparsity_of
from pipeline.config import Compress, Config, Data, Mixing, Train, Variant
from pipeline.corpora import prepared
from pipeline.corpora.augment import Extras
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.quantization import FLOAT
from pipeline.stages import compress, prepare, train
from pipeline.training import loop
from pipeline.training.model import SequenceModel

STEPS = 10
PRUNE = Prune(do="prune", sparsity=0.5)
LEARN = LearnThresholds(do="learn_thresholds", sparsity=0.5)
PULL = Regularize(do="regularize", structure="unit", regularizer="group_lasso")
FEW = Cluster(do="cluster", clusters=8)
VARIANTS = (
    Variant(name="plain"),
    Variant(name="pruned", methods=(PRUNE,), learning_rate=3e-4),
    Variant(name="learned", methods=(LEARN,), distillation_weight=0.0),
    Variant(name="pulled", methods=(PULL,)),
    Variant(name="few", parent="pruned", methods=(FEW,), steps=20),
)
TRAIN = Train(
    steps=6,
    batch_size=3,
    learning_rate=2e-4,
    warmup_steps=2,
    average_decay=0.25,
    spectral_weight=0.75,
    validate_every=3,
)
COMPRESS = Compress(
    variants=VARIANTS,
    steps=STEPS,
    learning_rate=4e-4,
    validate_every=5,
    prune_until=0.5,
    prune_every=2,
    distillation_weight=0.125,
)


@dataclasses.dataclass
class Asked:
    """One call of `fit`: what it was asked, and the sparsity in every step."""

    settings: loop.Settings
    teacher: SequenceModel | None
    sparsity: list[float]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Asked]]:
    """The dense network, then every variant; they are trained for real."""
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(1)
    for role in ("clean", "noise"):
        for split in ("train", "valid", "test"):
            path = folder / role / split / f"{role} {split}.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, 0.1 * random.standard_normal(5 * 16_000), 16_000)
    config = Config(
        data=Data(source="folders", clean_dir=folder / "clean", noise_dir=folder / "noise"),
        mixing=Mixing(crop_s=0.5),
        model=TinyLSTMs(bands=16, lstm_units=(16,), dense_units=16),
        train=TRAIN,
        compress=COMPRESS,
    )
    calls: list[Asked] = []
    fit = loop.fit

    def watched(model: SequenceModel, *arguments: Any, callbacks: Any = (), **options: Any) -> Any:
        sparsity: list[float] = []

        class Watcher:
            def before_step(self, step: int) -> None:
                sparsity.append(sparsity_of(model)["all"])

        calls.append(Asked(arguments[2], options.get("teacher"), sparsity))
        return fit(model, *arguments, callbacks=[*callbacks, Watcher()], **options)

    run_dir = RunDir(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "extras_for", lambda speech_duration_s: Extras())
        patch.setattr(loop, "fit", watched)
        for stage in (prepare.run, train.run, compress.run):
            stage(config, run_dir)
    yield calls


def test_the_dense_network_is_trained_as_set(asked: list[Asked]) -> None:
    given = TRAIN.model_dump(
        exclude={"initial_weights", "threads", "measure_front_end", "bfloat16"}
    )
    assert asked[0].settings == loop.Settings(**given)
    assert asked[0].teacher is None


def test_variants_are_trained_as_set(asked: list[Asked]) -> None:
    for variant, call in zip(VARIANTS, asked[1:], strict=True):
        steps = variant.steps or STEPS
        kept_from = {"plain": 0, "few": 16}.get(variant.name, steps // 2 + 1)
        assert call.settings == loop.Settings(
            steps=steps,
            batch_size=TRAIN.batch_size,
            learning_rate=variant.learning_rate or COMPRESS.learning_rate,
            warmup_steps=steps // 10,
            average_decay=TRAIN.average_decay,
            spectral_weight=TRAIN.spectral_weight,
            validate_every=COMPRESS.validate_every,
            distillation_weight=0.0 if variant.name == "learned" else 0.125,
            keep_best_from=kept_from,
        ), variant.name
        assert call.teacher is not None and call.teacher.scheme == FLOAT


@pytest.mark.parametrize("name", ["pruned", "learned"])
def test_sparsity_rises_until_it_is_to_and_rests(asked: list[Asked], name: str) -> None:
    number = [variant.name for variant in VARIANTS].index(name)
    sparsity = asked[1 + number].sparsity
    end = round(COMPRESS.prune_until * STEPS)
    assert sparsity[0] == 0 and sparsity == sorted(sparsity)
    assert sparsity[end] == pytest.approx(0.5, abs=0.01)
    assert sparsity[end - 1] < sparsity[end]
    assert set(sparsity[end:]) == {sparsity[end]}
    changed = [step for step in range(1, STEPS) if sparsity[step] != sparsity[step - 1]]
    assert changed == [2, 4, end]


def test_what_a_variant_does_not_ask_for_is_left_alone(asked: list[Asked]) -> None:
    sparsity = {v.name: call.sparsity for v, call in zip(VARIANTS, asked[1:], strict=True)}
    assert set(sparsity["plain"]) == set(sparsity["pulled"]) == {0.0}
    assert min(sparsity["few"]) > 0.49  # Its parent's zeros.

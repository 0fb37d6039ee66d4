"""What acts on a network while it trains."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from training_data import FRONT_END, Noise, network, settings

from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.structures import WeightStructure
from pipeline.compression.thresholds import LearnedThresholds
from pipeline.keras import tf
from pipeline.training.batches import Batch
from pipeline.training.loop import fit
from pipeline.training.loss import imitation_loss
from pipeline.training.model import SequenceModel


class Watcher:
    """Keeps the mask gradients it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, np.ndarray]] = []

    state: ClassVar[list[object]] = []

    def before_step(self, step: int) -> None:
        pass

    def after_step(self, step: int, mask_gradients: dict[str, np.ndarray]) -> None:
        self.told.append(mask_gradients)


def trained(
    tmp_path: Path, teacher: SequenceModel | None = None, **changes: float
) -> SequenceModel:
    model = network()
    tmp_path.mkdir(exist_ok=True)
    fit(
        model,
        Noise(),
        FRONT_END,
        settings(**changes),
        tmp_path,
        lambda _: {"score": 0.0},
        teacher=teacher,
    )
    return model


def test_removed_weights_are_told_what_they_would_be_worth(tmp_path: Path) -> None:
    model = network()
    mask = np.ones(model.matrices[0].shape, np.float32)
    mask[:4] = 0
    model.matrices[0].mask.assign(mask)
    watcher = Watcher()
    fit(
        model,
        Noise(),
        FRONT_END,
        settings(),
        tmp_path,
        lambda _: {"score": 0.0},
        callbacks=[watcher],
    )
    assert len(watcher.told) == 3
    assert watcher.told[0].keys() == {matrix.name for matrix in model.matrices}
    assert np.abs(watcher.told[0][model.matrices[0].name][:4]).max() > 0
    np.testing.assert_array_equal(model.matrices[0].mask.numpy(), mask)


def test_a_teacher_changes_what_is_learned(tmp_path: Path) -> None:
    teacher = network(units=12, seed=2)
    alone, unweighted, taught = (
        trained(tmp_path / "alone").get_arrays(),
        trained(tmp_path / "unweighted", teacher).get_arrays(),
        trained(tmp_path / "taught", teacher, distillation_weight=1.0).get_arrays(),
    )
    for name, array in alone.items():
        np.testing.assert_array_equal(array, unweighted[name])
    assert any(not np.array_equal(array, taught[name]) for name, array in alone.items())


def test_imitation_is_best_when_it_is_perfect() -> None:
    batch = Batch.from_audio(*Noise().batch(0, 2), FRONT_END)
    random = np.random.default_rng(0)
    target = tf.constant(random.uniform(0.1, 0.9, batch.features.shape).astype(np.float32))
    losses = [float(imitation_loss(target + error, target, batch)) for error in (0, 0.01, 0.1)]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(10 * np.log10(1e-3), abs=3)


class Killed(Exception):
    pass


class KilledAt:
    """Ends the training before a step."""

    def __init__(self, step: int | None) -> None:
        self._step = step

    def before_step(self, step: int) -> None:
        if step == self._step:
            raise Killed


def learned(work_dir: Path, killed_at: int | None) -> dict[str, np.ndarray]:
    model = network()
    structure = WeightStructure({matrix.name: matrix.shape for matrix in model.matrices})
    thresholds = LearnedThresholds(model, structure, RisingSparsity(0.8, 6, 3), 0.8)
    work_dir.mkdir(exist_ok=True)
    fit(
        model,
        Noise(),
        FRONT_END,
        settings(steps=8, validate_every=2),
        work_dir,
        lambda _: {"score": 0.0},
        callbacks=[KilledAt(killed_at), thresholds],
    )
    state = {f"state {k}": variable.numpy() for k, variable in enumerate(thresholds.state)}
    return model.get_arrays() | state


def test_learned_thresholds_survive_a_kill(tmp_path: Path) -> None:
    whole = learned(tmp_path / "whole", None)
    with pytest.raises(Killed):
        learned(tmp_path / "killed", 5)
    resumed = learned(tmp_path / "killed", None)
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)

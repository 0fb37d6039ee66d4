"""Thresholds that the loss moves, under a size that is kept."""

import numpy as np
import pytest

from pipeline.compression.pruner import sparsity_of
from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.structures import BlockStructure, Structure, WeightStructure
from pipeline.compression.thresholds import LearnedThresholds
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.training.model import SequenceModel
from tests.small_networks import network

END = 40


def train(model: SequenceModel, structure: Structure, sparsity: float, costly: str) -> list[float]:
    """Stand in for training: removing a weight of ``costly`` hurts, of the others it does not."""
    schedule = RisingSparsity(sparsity, END, every_steps=2)
    learner = LearnedThresholds(model, structure, schedule, sparsity)
    reached = []
    for step in range(END + 10):
        learner.before_step(step)
        gradients = {
            m.name: np.full(m.shape, -1.0 if m.name == costly else 0.0, np.float32)
            for m in model.matrices
        }
        learner.after_step(step, gradients)
        reached.append(sparsity_of(model)["all"])
    return reached


def model_and_shapes() -> tuple[SequenceModel, dict[str, tuple[int, int]]]:
    model = network(TinyLSTMs(bands=16, lstm_units=(16, 16), dense_units=16), seed=3).build()
    return model, {matrix.name: matrix.shape for matrix in model.matrices}


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("blocks", [False, True])
def test_the_target_is_met_within_one_percent_and_kept(sparsity: float, blocks: bool) -> None:
    model, shapes = model_and_shapes()
    structure = BlockStructure(shapes, 2, 4) if blocks else WeightStructure(shapes)
    reached = train(model, structure, sparsity, costly="mask")
    assert reached[END] == pytest.approx(sparsity, abs=0.01)
    assert set(reached[END:]) == {reached[END]}
    assert reached[0] == 0


@pytest.mark.parametrize("costly", ["lstm1_gates", "dense"])
def test_sparsity_moves_to_where_it_costs_least(costly: str) -> None:
    spared, shapes = model_and_shapes()
    train(spared, WeightStructure(shapes), 0.7, costly)
    plain, _ = model_and_shapes()
    train(plain, WeightStructure(shapes), 0.7, costly="none of them")
    assert sparsity_of(spared)[costly] < sparsity_of(plain)[costly] - 0.1

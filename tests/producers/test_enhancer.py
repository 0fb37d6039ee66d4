"""Our own networks through the optimization toolkit: trained over time, deployed hop by hop."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.testset import Mixture
from pipeline.ethosu import vela
from pipeline.keras import tf_keras
from pipeline.networks.convnet import ConvNet
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.producers.enhancer import enhancement, one_hop, over_time
from pipeline.producers.settings import Cluster, ProducerError, Prune, Quantize
from pipeline.producers.tfmot import Problem, produce
from pipeline.quantization import FLOAT
from pipeline.runners import HopModel, HopStream
from pipeline.runners.tflite import TfliteRunner
from tests.small_networks import network
from tests.training.training_data import Noise

SMALL = ConvNet(
    network="convnet", bands=16, outer_channels=4, channels=4, blocks=2, dilations=(1, 2)
)
TRAINED = network(SMALL, FLOAT).folded()


def problem(judge=lambda model: {}) -> Problem:
    noisy, clean = Noise().batch(99, 1)
    held_out = [Mixture("one", noisy[0], clean[0], 0.0, "noise")]
    return enhancement(
        TRAINED, Noise(), held_out, batch_size=2, epoch_steps=2, spectral_weight=0.5, judge=judge
    )


def test_a_network_is_the_same_as_a_keras_model() -> None:
    features = np.random.default_rng(0).normal(size=(2, 9, 16)).astype(np.float32)
    ours = TRAINED.build()(features).numpy()
    np.testing.assert_allclose(over_time(TRAINED.graph, TRAINED.arrays)(features), ours, atol=1e-6)


def test_a_hop_is_what_the_toolkit_trained_and_keeps_its_zeros(tmp_path: Path) -> None:
    made: list[tf_keras.Model] = []
    given = problem(judge=lambda model: {"score": float(len(made))})

    def deployed(quantized: tf_keras.Model) -> tf_keras.Model:
        made.append(quantized)
        return one_hop(TRAINED.graph, quantized)

    steps = [Prune(sparsity=0.5), Cluster(clusters=8), Quantize()]
    produced = produce(Problem(**{**vars(given), "deployed": deployed}), steps)
    assert [set(report.scores) for report in produced.reports] == [{"loss", "score"}] * 3
    assert produced.reports[-1].zeros >= 0.49
    assert produced.proof is not None and produced.proof.tflite_vs_tflm.mismatching == 0
    runner = TfliteRunner(produced.tflite)
    assert {item.source for item in HopModel.of(runner).delayed} == {"encoder2", "block1"}
    features = np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32)
    expected = made[0](features[None]).numpy()[0]
    # The mask is in steps of 1/256; sums on the way are rounded too.
    assert np.abs(HopStream(runner).real(features) - expected).mean() < 1 / 256
    path = tmp_path / "hop.tflite"
    path.write_bytes(produced.tflite)
    assert vela.compile(path, tmp_path / "v").cpu_operators == ()


def test_what_the_toolkit_does_not_know_is_named() -> None:
    recurrent = network(TinyLSTMs(bands=16, lstm_units=(8,), dense_units=8), FLOAT)
    with pytest.raises(ProducerError, match=r"cannot train node 'h1' \(state\)"):
        enhancement(
            recurrent, Noise(), [], batch_size=2, epoch_steps=2, spectral_weight=0.5,
            judge=lambda model: {},
        )  # fmt: skip

"""The deployed graph computes what training computed, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.ethosu import vela
from pipeline.keras import tf
from pipeline.lowering.tflite import integer_matrix, to_tflite
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.quantization import FLOAT, INT8, Scheme
from pipeline.runners import stream
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner
from tests.small_networks import network, trained_looking, with_ranks

SIZES = TinyLSTMs(bands=32, lstm_units=(24, 16), dense_units=20)
RANKS = [(0, 0), (12, 8), (0, 8)]


def trained(
    scheme: Scheme, seed: int, sparsity: float = 0.0, ranks: tuple[int, ...] = (0, 0)
) -> Trained:
    made = with_ranks(network(SIZES, scheme, seed, relu_maximum=6.0), ranks, seed)
    return trained_looking(made, seed, sparsity)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("ranks", RANKS)
def test_tflite_equals_training_in_every_bit_of_a_long_stream(
    seed: int, sparsity: float, ranks: tuple[int, ...]
) -> None:
    weights = trained(INT8, seed, sparsity, ranks)
    features = np.random.default_rng(seed).normal(scale=0.4, size=(500, 32)).clip(-1, 1)
    runner = TfliteRunner(to_tflite(weights, "net"))
    deployed = stream(runner, features.astype(np.float32))
    network = tf.function(weights.build())
    expected = network(features[None].astype(np.float32)).numpy()[0]
    np.testing.assert_array_equal(runner.outputs["mask"].dequantize(deployed), expected)
    assert len(np.unique(deployed)) > 10


def test_pruned_weights_are_stored_as_zeros() -> None:
    weights = trained(INT8, 0, 0.8)
    stored = integer_matrix(weights, "lstm1_gates").weights.T
    assert not stored[weights.arrays["lstm1_gates/mask"] == 0].any()


def test_the_whole_step_runs_on_the_npu(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(to_tflite(trained(INT8, 1), "net"))
    compiled = vela.compile(tmp_path / "net.tflite", tmp_path)
    assert compiled.cpu_operators == ()


def test_float_weights_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="scheme 'float'; run the compress stage first"):
        to_tflite(trained(FLOAT, 0), "net")


@pytest.mark.parametrize("ranks", RANKS)
def test_tflite_micro_and_the_npu_agree_in_every_bit_too(
    tmp_path: Path, ranks: tuple[int, ...]
) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(trained(INT8, 3, 0.5, ranks), "net"))
    compiled = vela.compile(path, tmp_path)
    features = np.random.default_rng(3).normal(scale=0.4, size=(300, 32)).clip(-1, 1)
    runners = (TfliteRunner(path), TflmRunner(path), EmulatorRunner(compiled.path))
    masks = [stream(runner, features.astype(np.float32)) for runner in runners]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])

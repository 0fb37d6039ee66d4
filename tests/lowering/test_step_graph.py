"""The deployed graph computes what training computed, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.ethosu import vela
from pipeline.keras import tf
from pipeline.lowering.read_back import read_step_graph
from pipeline.lowering.step_graph import build_step_graph, integer_matrix
from pipeline.models import MaskNet
from pipeline.models.weights import Weights
from pipeline.quantization import FLOAT, INT8, INT16, Scheme
from pipeline.targets import stream
from pipeline.targets.emulator import EmulatorRunner
from pipeline.targets.tflite import TfliteRunner
from pipeline.targets.tflm import TflmRunner

SIZES = Model(bands=32, lstm_units=(24, 16), dense_units=20)


RANKS = [(), (12, 8), (0, 8)]


def trained(
    scheme: Scheme, seed: int, sparsity: float = 0.0, ranks: tuple[int, ...] = ()
) -> Weights:
    """Weights that look trained: larger than at initialization, and with a random mask."""
    random = np.random.default_rng(seed)
    sizes = SIZES.model_copy(update={"lstm_ranks": ranks})
    network = MaskNet(sizes, scheme=scheme, relu_maximum=6.0, seed=seed)
    for matrix in network.matrices:
        matrix.kernel.assign(matrix.kernel * random.uniform(0.5, 3.0))
        matrix.bias.assign(random.normal(scale=0.5, size=matrix.bias.shape))
        matrix.mask.assign((random.random(matrix.shape) >= sparsity).astype(np.float32))
    front_end = FrontEnd(np.zeros(32, np.float32), np.ones(32, np.float32))
    return Weights(sizes, front_end, network.get_arrays(), scheme, 6.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("ranks", RANKS)
def test_tflite_equals_training_in_every_bit_of_a_long_stream(
    seed: int, sparsity: float, ranks: tuple[int, ...]
) -> None:
    weights = trained(INT8, seed, sparsity, ranks)
    features = np.random.default_rng(seed).normal(scale=0.4, size=(500, 32)).clip(-1, 1)
    runner = TfliteRunner(build_step_graph(weights, "net"))
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
    (tmp_path / "net.tflite").write_bytes(build_step_graph(trained(INT8, 1), "net"))
    compiled = vela.compile(tmp_path / "net.tflite", tmp_path)
    assert compiled.cpu_operators == ()


def test_float_weights_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="scheme 'float'; run the compress stage first"):
        build_step_graph(trained(FLOAT, 0), "net")


@pytest.mark.parametrize("scheme", [INT8, INT16], ids=lambda s: s.name)
@pytest.mark.parametrize("sparsity", [0.0, 0.9])
@pytest.mark.parametrize("ranks", RANKS)
def test_a_file_gives_back_the_weights_it_was_made_from(
    scheme: Scheme, sparsity: float, ranks: tuple[int, ...]
) -> None:
    weights = trained(scheme, 5, sparsity, ranks)
    model = build_step_graph(weights, "net")
    read = read_step_graph(model, weights.front_end)
    assert read.model == weights.model
    assert build_step_graph(read, "net") == model


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="not a readable TFLite model"):
        read_step_graph(b"TFL3 nonsense", trained(INT8, 5).front_end)


@pytest.mark.parametrize("ranks", RANKS)
def test_tflite_micro_and_the_npu_agree_in_every_bit_too(
    tmp_path: Path, ranks: tuple[int, ...]
) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(build_step_graph(trained(INT8, 3, 0.5, ranks), "net"))
    compiled = vela.compile(path, tmp_path)
    features = np.random.default_rng(3).normal(scale=0.4, size=(300, 32)).clip(-1, 1)
    runners = (TfliteRunner(path), TflmRunner(path), EmulatorRunner(compiled.path))
    masks = [stream(runner, features.astype(np.float32)) for runner in runners]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])

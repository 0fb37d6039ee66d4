"""Any Keras model through pruning, clustering and quantization, nothing lost on the way."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.errors import InputError
from pipeline.keras import tf, tf_keras
from pipeline.producers.settings import Cluster, ProducerError, Prune, Quantize, Train
from pipeline.producers.tfmot import Problem, StepReport, load_problem, produce

CLASSES, SHAPE = 3, (12, 10, 1)


def network() -> tf_keras.Model:
    """A depthwise separable keyword spotter, very small."""
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(7)
    layers = tf_keras.layers
    x = features = layers.Input(SHAPE)
    x = layers.Conv2D(8, (3, 3), padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.DepthwiseConv2D((3, 3), padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.Conv2D(16, (1, 1), activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(features, layers.Dense(CLASSES, activation="softmax")(x))


def keywords() -> Problem:
    """Each class is energy in another third of the bands."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 256)
    features = rng.normal(scale=0.5, size=(256, *SHAPE)).astype(np.float32)
    for k, label in enumerate(labels):
        features[k, :, 3 * label : 3 * label + 3] += 2.0
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(16)
    return Problem(network(), data, data, "sparse_categorical_crossentropy", ("accuracy",))


def regression() -> Problem:
    """Two small matrices that learn to copy part of what they get."""
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(7)
    features = tf_keras.layers.Input((16,))
    hidden = tf_keras.layers.Dense(8, activation="relu")(features)
    model = tf_keras.Model(features, tf_keras.layers.Dense(CLASSES)(hidden))
    inputs = np.random.default_rng(1).normal(size=(64, 16)).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((inputs, inputs[:, :CLASSES])).batch(16)
    return Problem(model, data, data, "mse")


def test_zeros_and_clusters_survive_quantization() -> None:
    steps = [
        Train(epochs=6, learning_rate=1e-2),
        Prune(sparsity=0.5, epochs=2),
        Cluster(clusters=8),
        Quantize(),
    ]
    seen: list[StepReport] = []
    produced = produce(keywords(), steps, on_step=seen.append)
    assert tuple(seen) == produced.reports
    assert [report.do for report in seen] == ["train", "prune", "cluster", "quantize"]
    trained, pruned, clustered, quantized = seen
    assert trained.zeros == 0
    # The toolkit leaves depthwise kernels alone.
    for report in (pruned, clustered, quantized):
        dense = [weight for weight in report.weights if "depthwise" not in weight.name]
        assert len(dense) == 3 and all(weight.zeros == 0.5 for weight in dense)
        depthwise = next(weight for weight in report.weights if "depthwise" in weight.name)
        assert depthwise.zeros < 0.1
    assert [weight.distinct for weight in clustered.weights if "depthwise" not in weight.name] == [
        8, 8, 8
    ]  # fmt: skip
    # Per-channel scales turn one cluster into several integers; Dense has one scale.
    assert [w.distinct for w in quantized.weights if w.elements == 16 * CLASSES] == [8]
    # Three classes by chance: 1.1.
    assert quantized.scores["loss"] < 0.7


def stored_weights(tflite: bytes) -> list[np.ndarray]:
    """The matrices of a file, as TFLite reads them."""
    interpreter = tf.lite.Interpreter(model_content=tflite)
    ends = interpreter.get_input_details() + interpreter.get_output_details()
    assert [end["dtype"] for end in ends] == [np.int8, np.int8]
    inner = [d for d in interpreter.get_tensor_details() if d["name"] and len(d["shape"]) == 2]
    constants = [d for d in inner if tuple(d["shape"]) in ((8, 16), (CLASSES, 8))]
    return [interpreter.get_tensor(detail["index"]) for detail in constants]


def test_the_last_report_is_of_the_integers_in_the_file() -> None:
    produced = produce(regression(), [Prune(sparsity=0.6, schedule="constant"), Quantize()])
    weights = stored_weights(produced.tflite)
    assert [w.dtype for w in weights] == [np.int8, np.int8]
    zeros, elements = sum(int((w == 0).sum()) for w in weights), sum(w.size for w in weights)
    assert produced.reports[-1].zeros == pytest.approx(zeros / elements, abs=1e-5)
    assert zeros >= 0.6 * elements - 1


def test_two_of_four_weights_of_each_group_are_zero() -> None:
    produced = produce(regression(), [Prune(m_by_n=(2, 4), epochs=2), Quantize()])
    first = next(w for w in stored_weights(produced.tflite) if w.shape == (8, 16))
    assert ((first.reshape(8, 4, 4) == 0).sum(axis=2) >= 2).all()


def drawn() -> Problem:
    """A problem whose network begins with whatever is drawn."""
    tf_keras.backend.clear_session()
    features = tf_keras.layers.Input((4,))
    model = tf_keras.Model(features, tf_keras.layers.Dense(2)(features))
    data = tf.data.Dataset.from_tensor_slices((np.ones((8, 4)), np.ones((8, 2)))).batch(4)
    return Problem(model, data, data, "mse")


def test_the_seed_decides_what_a_problem_begins_with() -> None:
    first, again, other = (
        load_problem(f"{__name__}:drawn", seed).model.get_weights()[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_seed_decides_everything() -> None:
    files = {produce(regression(), [Prune(), Quantize()], seed=3).tflite for _ in range(2)}
    assert len(files) == 1


@pytest.mark.parametrize("steps", [[], [Prune()], [Quantize(), Prune()], [Quantize(), Quantize()]])
def test_quantization_comes_once_and_last(steps: list) -> None:
    with pytest.raises(ProducerError, match="exactly one quantize, at the end"):
        produce(regression(), steps)


def test_what_the_toolkit_refuses_names_the_layer() -> None:
    features = tf_keras.layers.Input((5, 4))
    recurrent = tf_keras.layers.LSTM(3, name="memory")(features)
    model = tf_keras.Model(features, recurrent)
    data = tf.data.Dataset.from_tensor_slices((np.zeros((8, 5, 4)), np.zeros((8, 3)))).batch(4)
    with pytest.raises(ProducerError, match="memory"):
        produce(Problem(model, data, data, "mse"), [Quantize()])


@pytest.mark.parametrize(
    "settings", [{"m_by_n": (2, 4), "block": (4, 1)}, {"m_by_n": (4, 4)}, {"sparsity": 1.0}]
)
def test_impossible_pruning_is_refused(settings: dict) -> None:
    with pytest.raises(ValidationError):
        Prune(**settings)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda data: data.repeat(), "train repeats without end"),
        (lambda data: data.filter(lambda x, y: True), "assert_cardinality"),
    ],
)
def test_a_schedule_needs_to_know_its_end(data: Callable, message: str) -> None:
    problem = regression()
    given = dataclasses.replace(problem, train=data(problem.train))
    with pytest.raises(ProducerError, match=message):
        produce(given, [Prune(), Quantize()])


def test_a_problem_is_found_by_name() -> None:
    assert isinstance(load_problem(f"{__name__}:keywords", seed=1), Problem)
    for place in ("nothing_here:f", f"{__name__}:absent", f"{__name__}:network"):
        with pytest.raises(InputError, match="expected"):
            load_problem(place, seed=1)

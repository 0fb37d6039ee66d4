"""A user's Keras model becomes a network that streams, exact down to the NPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.ethosu import vela
from pipeline.keras import tf, tf_keras
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.groups import groups
from pipeline.networks.keras_import import KerasImportError, from_keras, load_keras
from pipeline.networks.trained import Trained
from pipeline.quantization import FLOAT, INT8
from pipeline.quantization.calibration import in_scheme
from pipeline.runners import stream
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner
from tests.small_networks import front_end

layers = tf_keras.layers
BANDS = 32


def recurrent() -> tf_keras.Model:
    x = features = layers.Input((None, BANDS))
    x = layers.Conv1D(24, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    y = layers.LSTM(16, return_sequences=True, name="memory")(x)
    x = layers.Concatenate()([x, y])
    x = layers.Dropout(0.2)(layers.Dense(20, activation="relu")(x))
    return tf_keras.Model(features, layers.Dense(BANDS, activation="sigmoid")(x))


def gated() -> tf_keras.Model:
    x = features = layers.Input((None, BANDS))
    x = layers.Dense(16)(x)
    x = layers.GRU(16, return_sequences=True)(x)
    x = layers.Dense(16, activation="tanh")(x)
    gate = layers.Dense(16, activation="sigmoid")(x)
    x = layers.Multiply()([x, gate])
    x = layers.Dense(BANDS)(x)
    return tf_keras.Model(features, layers.Activation("sigmoid")(x))


def convolution(x: tf.Tensor, filters: int, taps: int, bands: int, dilation: int) -> tf.Tensor:
    padding = ((dilation * (taps - 1), 0), (bands // 2, bands // 2))
    x = layers.ZeroPadding2D(padding)(x)
    x = layers.Conv2D(filters, (taps, bands), dilation_rate=(dilation, 1), use_bias=False)(x)
    return layers.BatchNormalization(epsilon=2e-3)(x)


def convolutional() -> tf_keras.Model:
    x = features = layers.Input((None, BANDS))
    x = layers.Reshape((-1, BANDS // 4, 4))(x)
    x = layers.ReLU()(convolution(x, 8, 1, 3, 1))
    for dilation in (1, 2):
        y = convolution(x, 8, 3, 3, dilation)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.DepthwiseConv2D((1, 3), padding="same")(x)
    y = layers.ZeroPadding2D(((4, 0), (1, 1)))(x)
    y = layers.DepthwiseConv2D((3, 3), dilation_rate=(2, 1), use_bias=False)(y)
    gate = layers.Dense(8, activation="sigmoid")(layers.AveragePooling2D((1, BANDS // 4))(y))
    x = layers.Add()([x, layers.Multiply()([gate, y])])
    x = layers.Conv2D(4, (1, 1), activation="sigmoid")(x)
    return tf_keras.Model(features, layers.Reshape((-1, BANDS))(x))


def attentive() -> tf_keras.Model:
    x = features = layers.Input((None, BANDS))
    x = layers.Reshape((-1, BANDS // 4, 4))(x)
    x = layers.Conv2D(8, (1, 3), padding="same", activation="relu")(x)
    y = layers.MultiHeadAttention(2, 4, value_dim=6, attention_axes=(2,), dropout=0.1)(x, value=x)
    x = layers.Add()([x, y])
    x = layers.Add()([x, layers.Attention()([x, x])])
    y = layers.Softmax()(layers.Permute((1, 3, 2))(x))
    y = layers.Dense(BANDS // 4, activation="softmax")(y)
    y = layers.Permute((1, 3, 2))(y)
    x = layers.Concatenate()([x, layers.Multiply()([x, y])])
    x = layers.Conv2D(4, (1, 1), activation="sigmoid")(x)
    return tf_keras.Model(features, layers.Reshape((-1, BANDS))(x))


MODELS = {
    "recurrent": recurrent, "gated": gated, "convolutional": convolutional, "attentive": attentive,
}  # fmt: skip
models = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())


def trained_looking(build: Callable[[], tf_keras.Model]) -> tf_keras.Model:
    """Random weights large enough to matter, statistics of normalization included."""
    tf_keras.utils.set_random_seed(3)
    model, rng = build(), np.random.default_rng(3)
    for layer in model.layers:
        weights = [w * 1.5 + 0.1 * rng.normal(size=w.shape) for w in layer.get_weights()]
        if isinstance(layer, layers.BatchNormalization):
            weights[3] = rng.uniform(0.5, 2.0, weights[3].shape)
        layer.set_weights(weights)
    return model


def some_features(hops: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.4, size=(1, hops, BANDS)).clip(-1, 1).astype(np.float32)


def imported(build: Callable[[], tf_keras.Model]) -> tuple[tf_keras.Model, Trained]:
    model = trained_looking(build)
    found = from_keras(model)
    return model, Trained(found.graph, front_end(BANDS), found.arrays, FLOAT)


@models
def test_it_computes_what_keras_computed(build: Callable[[], tf_keras.Model]) -> None:
    model, trained = imported(build)
    features = some_features(60)
    expected = model(features).numpy()
    assert np.std(expected) > 0.02
    np.testing.assert_allclose(trained.build()(features).numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(trained.folded().build()(features).numpy(), expected, atol=2e-5)


@models
def test_integers_are_the_same_in_training_runtimes_and_npu(
    build: Callable[[], tf_keras.Model], tmp_path: Path
) -> None:
    _, trained = imported(build)
    trained = in_scheme(trained.folded(), INT8, some_features(200, seed=1))
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(trained, "net"))
    compiled = vela.compile(path, tmp_path)
    assert compiled.cpu_operators == ()
    features = some_features(120)
    runner = TfliteRunner(path)
    mask = stream(runner, features[0])
    training = tf.function(trained.build())(features).numpy()[0]
    output = next(spec for name, spec in runner.outputs.items() if "next" not in name)
    np.testing.assert_array_equal(output.dequantize(mask), training)
    np.testing.assert_array_equal(stream(TflmRunner(path), features[0]), mask)
    np.testing.assert_array_equal(stream(EmulatorRunner(compiled.path), features[0]), mask)
    assert len(np.unique(mask)) > 10


@models
def test_units_can_be_found_in_it(build: Callable[[], tf_keras.Model]) -> None:
    _, trained = imported(build)
    assert all(group.units > 3 for group in groups(trained.graph))
    assert groups(trained.graph)


def refused_models() -> dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], str]]:
    return {
        "looks ahead": (layers.Conv1D(BANDS, 3, padding="same"), "stream needs 'causal'"),
        "strided": (layers.Conv1D(BANDS, 1, strides=2), "strides"),
        "last only": (layers.LSTM(BANDS), "every hop's output"),
        "both ways": (
            layers.Bidirectional(layers.LSTM(BANDS // 2, return_sequences=True)),
            "has no counterpart; known are",
        ),
        "activation": (layers.Dense(BANDS, activation="swish"), "activation 'swish'"),
        "old gru": (layers.GRU(BANDS, return_sequences=True, reset_after=False), "reset_after"),
        "limited": (layers.ReLU(max_value=6.0), "ReLU with a limit"),
        "normalization": (layers.BatchNormalization(), "does not follow"),
        "attention over time": (
            lambda x: layers.MultiHeadAttention(1, 8)(x, x),
            "MultiHeadAttention.* attends to other hops; reshape bands",
        ),
        "long depthwise": (
            lambda x: layers.DepthwiseConv2D((4, 1))(
                layers.ZeroPadding2D(((3, 0), (0, 0)))(layers.Reshape((-1, BANDS, 1))(x))
            ),
            "spans over 3 hops",
        ),
        "part of the bands": (
            lambda x: layers.AveragePooling2D((1, 2))(layers.Reshape((-1, BANDS, 1))(x)),
            r"does not average over all bands.*pool_size=\(1, 32\)",
        ),
        "masked attention": (
            lambda x: layers.Reshape((-1, BANDS))(
                layers.MultiHeadAttention(1, 8, attention_axes=(2,))(
                    *[layers.Reshape((-1, BANDS, 1))(x)] * 2, use_causal_mask=True
                )
            ),
            "is called with use_causal_mask",
        ),
        "time exchanged": (layers.Permute((2, 1)), "dims must begin with 1"),
        "layer norm": (layers.LayerNormalization(), "LayerNormalization.* has no counterpart"),
        "wrong width": (layers.Dense(BANDS + 1), "expected one a band"),
    }


@pytest.mark.parametrize("case", refused_models())
def test_what_cannot_stream_is_named(case: str) -> None:
    layer, message = refused_models()[case]
    features = layers.Input((None, BANDS))
    with pytest.raises(KerasImportError, match=message):
        from_keras(tf_keras.Model(features, layer(features)))


def test_a_convolution_over_time_needs_its_past_padded() -> None:
    features = layers.Input((None, BANDS))
    x = layers.Reshape((-1, BANDS, 1))(features)
    x = layers.Conv2D(1, (3, 3), padding="same")(x)
    model = tf_keras.Model(features, layers.Reshape((-1, BANDS))(x))
    with pytest.raises(KerasImportError, match=r"ZeroPadding2D\(\(\(2, 0\), \(1, 1\)\)\)"):
        from_keras(model)


def test_models_come_from_a_file_or_a_function(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    recurrent().save(path)
    assert from_keras(load_keras(str(path))).graph.matrices()
    assert load_keras(f"{__name__}:gated").count_params() > 0
    (tmp_path / "damaged.keras").write_bytes(b"PK no model")
    for place, message in {
        str(tmp_path / "absent.keras"): "no such file",
        str(tmp_path / "damaged.keras"): "cannot read it",
        "my_model": "expected a .keras or .h5 file",
        "nothing_here:build": "PYTHONPATH",
        f"{__name__}:some_features": "",
    }.items():
        if message:
            with pytest.raises(InputError, match=message):
                load_keras(place)


@pytest.mark.parametrize("name", ["lambda.h5", "lambda.keras", "older.keras"])
def test_the_code_in_a_file_is_not_run(tmp_path: Path, name: str) -> None:
    """Not in the older format either, whatever the file calls itself."""
    trace = str(tmp_path / "trace")
    features = layers.Input((None, BANDS))
    spied = layers.Lambda(lambda x: (open(trace, "w").close(), x)[1])(features)
    model = tf_keras.Model(features, spied)
    saved = tmp_path / (name if name.startswith("lambda") else "lambda.h5")
    model.save(saved)
    saved = saved.rename(tmp_path / name)
    Path(trace).unlink()
    with pytest.raises(KerasImportError, match="cannot read it"):
        load_keras(str(saved))
    assert not Path(trace).exists()


def test_an_error_in_the_function_itself_is_the_users_to_see() -> None:
    with pytest.raises(AttributeError, match="no_such_layer"):
        load_keras(f"{__name__}:mistaken")


def mistaken() -> tf_keras.Model:
    return layers.no_such_layer()

"""A user's Keras model named in a configuration."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipeline.keras import tf_keras
from pipeline.networks import Network
from pipeline.networks.keras_import import KerasImportError
from pipeline.networks.keras_network import KerasNetwork
from pipeline.networks.trained import untrained
from tests.small_networks import front_end

BANDS = 16


def build() -> tf_keras.Model:
    layers = tf_keras.layers
    features = layers.Input((None, BANDS))
    x = layers.Dense(8, activation="relu")(features)
    x = layers.LSTM(8, return_sequences=True)(x)
    return tf_keras.Model(features, layers.Dense(BANDS, activation="sigmoid")(x))


def settings(**changes: object) -> KerasNetwork:
    given = {"network": "keras", "path": f"{__name__}:build", "bands": BANDS} | changes
    return TypeAdapter(Network).validate_python(given)


def test_every_building_gives_the_same_network() -> None:
    first, second = (untrained(settings(), front_end(BANDS), seed=4) for _ in range(2))
    other = untrained(settings(), front_end(BANDS), seed=5)
    assert first.graph == second.graph == settings().define()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])
    assert any((array != other.arrays[name]).any() for name, array in first.arrays.items())


def test_weights_of_a_file_are_what_training_starts_from(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(1)
    model = build()
    model.save(tmp_path / "mine.keras")
    made = settings(path=str(tmp_path / "mine.keras"))
    features = np.random.default_rng(0).uniform(-1, 1, (1, 20, BANDS)).astype(np.float32)
    network = untrained(made, front_end(BANDS), seed=9).build()
    np.testing.assert_allclose(network(features), model(features), atol=1e-5)
    assert made.source == tmp_path / "mine.keras"


def test_the_module_is_what_decides_a_function() -> None:
    assert settings().source is not None
    assert settings().source.name == "test_keras_network.py"


def test_other_bands_are_refused() -> None:
    with pytest.raises(KerasImportError, match=r"reads 16 bands; set model\.bands"):
        settings(bands=32).define()

"""Whole networks of the MLPerf Tiny kind, random weights, made int8 by TFLite's converter.

    python tests/ethosu/keras_networks.py build/networks

writes them as `.tflite` files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def keyword_spotter() -> Any:
    """Depthwise-separable CNN on 49 x 10 MFCC (MLPerf Tiny keyword spotting)."""
    from tf_keras import Input, Model, layers

    x = inputs = Input((49, 10, 1), batch_size=1)
    x = layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(4):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(64, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.AveragePooling2D((25, 5))(x)
    return Model(inputs, layers.Dense(12, activation="softmax")(layers.Flatten()(x)))


def residual_network() -> Any:
    """ResNet-8 on 32 x 32 x 3 (MLPerf Tiny image classification)."""
    from tf_keras import Input, Model, layers

    x = inputs = Input((32, 32, 3), batch_size=1)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = layers.Conv2D(channels, 3, strides=stride, padding="same", activation="relu")(x)
        y = layers.Conv2D(channels, 3, padding="same")(y)
        if stride > 1:
            x = layers.Conv2D(channels, 1, strides=stride, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return Model(inputs, layers.Dense(10, activation="softmax")(x))


def autoencoder() -> Any:
    """Fully connected autoencoder on 640 features (MLPerf Tiny anomaly detection)."""
    from tf_keras import Input, Model, layers

    x = inputs = Input((640,), batch_size=1)
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = layers.Dense(units, activation="relu")(x)
    return Model(inputs, layers.Dense(640)(x))


def mobilenet() -> Any:
    """MobileNetV1 0.25 on 96 x 96 x 3 (MLPerf Tiny visual wake words)."""
    import tf_keras

    inputs = tf_keras.Input((96, 96, 3), batch_size=1)
    return tf_keras.applications.MobileNet(
        input_tensor=inputs, alpha=0.25, weights=None, classes=2, include_top=True
    )


NETWORKS: dict[str, Callable[[], Any]] = {
    "keyword_spotter": keyword_spotter,
    "residual_network": residual_network,
    "autoencoder": autoencoder,
    "mobilenet": mobilenet,
}


def _normalize(model: Any, sample: np.ndarray) -> None:
    """Sets batch statistics from a sample; untrained ones would let activations vanish."""
    for layer in model.layers:
        if hasattr(layer, "moving_mean"):
            layer.momentum = 0.0
    model(sample, training=True)


def quantized(network: str, seed: int = 0) -> bytes:
    """The network as an int8 `.tflite`; weights and calibration data are random."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    model = NETWORKS[network]()
    rng = np.random.default_rng(seed)
    shape = (1, *model.input_shape[1:])
    _normalize(model, rng.normal(0, 1, shape).astype(np.float32))

    def samples() -> Iterator[list[np.ndarray]]:
        for _ in range(8):
            yield [rng.normal(0, 1, shape).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        (folder / f"{name}.tflite").write_bytes(quantized(name))

"""A depthwise separable keyword spotter (Zhang et al., 2017) on generated features.

Stands for your own model: any function without arguments that returns a `Problem` will do.
"""

import numpy as np

from pipeline.keras import tf, tf_keras
from pipeline.producers.tfmot import Problem

KEYWORDS, FRAMES, BANDS = 4, 49, 10


def network() -> tf_keras.Model:
    """One convolution, three depthwise separable blocks, pooling, softmax."""
    layers = tf_keras.layers
    x = features = layers.Input((FRAMES, BANDS, 1), name="features")
    x = layers.Conv2D(32, (10, 4), strides=(2, 2), padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    for _ in range(3):
        x = layers.DepthwiseConv2D((3, 3), padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Conv2D(32, (1, 1), use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(features, layers.Dense(KEYWORDS, activation="softmax")(x))


def examples(count: int, seed: int) -> tf.data.Dataset:
    """Noise with one rising or falling ridge a keyword, at a random time."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, KEYWORDS, count)
    features = rng.normal(scale=0.5, size=(count, FRAMES, BANDS, 1)).astype(np.float32)
    for example, label in zip(features, labels, strict=True):
        start = rng.integers(0, FRAMES - 2 * BANDS)
        for step in range(2 * BANDS):
            band = step // 2 if label % 2 else BANDS - 1 - step // 2
            example[start + step, band] += 1.5 + label // 2
    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(32)


def problem() -> Problem:
    """What is trained, on what."""
    return Problem(
        model=network(),
        train=examples(1024, seed=1),
        valid=examples(256, seed=2),
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
    )

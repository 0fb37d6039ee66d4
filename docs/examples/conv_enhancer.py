"""A convolutional speech enhancer over a window of hops, on the recordings that ship here.

It has no memory: each inference reads the last hops again and gives the mask of the newest. The
same idea through door 1 (`pipeline.networks.convnet`) streams, and computes each hop once.
"""

import numpy as np

from pipeline.corpora import embedded
from pipeline.corpora.audio import load_mono
from pipeline.dsp import RATE_HZ, analyse, measure_front_end, stft
from pipeline.dsp.frontend import compressed_bands
from pipeline.keras import tf, tf_keras
from pipeline.producers.tfmot import Problem

BANDS, HOPS = 128, 8
CROP_SAMPLES = 2 * RATE_HZ
SNR_DB = (-5.0, 15.0)


def network() -> tf_keras.Model:
    """Strided convolutions over time until one hop is left, four bands a channel."""
    layers = tf_keras.layers
    x = features = layers.Input((HOPS, BANDS, 1), name="features")
    for channels, strides in ((16, (2, 2)), (32, (2, 2)), (32, (2, 1))):
        x = layers.Conv2D(channels, (3, 3), strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Conv2D(4, (1, 1), activation="sigmoid")(x)
    return tf_keras.Model(features, layers.Reshape((BANDS,), name="mask")(x))


def mixtures(split: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(noisy, clean), float32 ``[count, samples]``."""
    rng = np.random.default_rng(seed)
    found = {"speech": [], "noise": []}
    for clip in embedded.clips():
        if clip.split == split:
            found[clip.role].append(load_mono(clip.path))

    def crop(role: str) -> np.ndarray:
        recording = found[role][rng.integers(len(found[role]))]
        whole = np.resize(recording, max(CROP_SAMPLES, recording.size))
        start = rng.integers(whole.size - CROP_SAMPLES + 1)
        piece: np.ndarray = whole[start : start + CROP_SAMPLES]
        return piece / np.sqrt(np.mean(piece**2) + 1e-9)

    clean = np.stack([0.05 * crop("speech") for _ in range(count)]).astype(np.float32)
    noise = np.stack([0.05 * crop("noise") for _ in range(count)]).astype(np.float32)
    gain = 10 ** (-rng.uniform(*SNR_DB, (count, 1)) / 20)
    return clean + (gain * noise).astype(np.float32), clean


def examples(noisy: np.ndarray, clean: np.ndarray) -> tf.data.Dataset:
    """Windows of features, and the ideal mask of their last hop."""
    front_end = measure_front_end(noisy, BANDS)
    x, features = analyse(noisy, front_end)
    heard, wanted = (compressed_bands(np.abs(s), BANDS) for s in (x, stft(clean)))
    mask = np.minimum(wanted / np.maximum(heard, 1e-6), 1)[:, HOPS - 1 :]
    windows = np.lib.stride_tricks.sliding_window_view(features, HOPS, axis=1)
    inputs = np.moveaxis(windows, -1, 2).reshape(-1, HOPS, BANDS, 1)
    data = tf.data.Dataset.from_tensor_slices((inputs, mask.reshape(-1, BANDS)))
    return data.shuffle(len(inputs), seed=1).batch(64)


def problem(count: int = 96) -> Problem:
    """What is trained, on what."""
    return Problem(
        model=network(),
        train=examples(*mixtures("train", count, seed=1)),
        valid=examples(*mixtures("valid", count // 4, seed=2)),
        loss="mse",
        metrics=("mae",),
    )

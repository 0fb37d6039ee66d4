"""Validation: mixtures of any length, and masks that leave nothing."""

import numpy as np
import pytest

from pipeline.corpora.testset import Mixture
from pipeline.dsp import FrontEnd
from pipeline.keras import tf
from pipeline.training.validation import Validation

BANDS = 32
FRONT_END = FrontEnd(np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32))


def mixture(seed: int, samples: int) -> Mixture:
    rng = np.random.default_rng(seed)
    clean = 0.1 * rng.standard_normal(samples).astype(np.float32)
    noisy = clean + 0.1 * rng.standard_normal(samples).astype(np.float32)
    return Mixture(f"{seed}", noisy, clean, 0.0, "ambience")


def running_mean(features: "tf.Tensor") -> "tf.Tensor":
    """A causal mask: what has been heard so far decides."""
    heard = tf.cumsum(features, axis=1)
    return tf.sigmoid(heard / tf.cumsum(tf.ones_like(features), axis=1))


def test_mixtures_of_any_length_are_scored_as_each_alone() -> None:
    mixtures = [mixture(seed, 5000 + 977 * (7 * seed % 11)) for seed in range(11)]
    together = Validation(mixtures, FRONT_END)(running_mean)["score"]
    alone = [Validation([m], FRONT_END)(running_mean)["score"] for m in mixtures]
    assert together == pytest.approx(np.mean(alone), abs=1e-5)


def test_a_mask_that_leaves_nothing_is_the_worst_and_finite() -> None:
    validation = Validation([mixture(0, 16_000), mixture(1, 20_000)], FRONT_END)
    silenced = validation(tf.zeros_like)["score"]
    assert silenced == pytest.approx(-100, abs=1)
    assert silenced < validation(running_mean)["score"]

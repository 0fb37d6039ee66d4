"""A small network and endless noisy tones to train it on."""

from typing import Any

import numpy as np

from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.training.loop import Settings
from pipeline.training.model import SequenceModel
from tests import small_networks

BANDS = 16
FRONT_END = small_networks.front_end(BANDS)


class Noise:
    """Noise over a tone, the same for the same step."""

    def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(step)
        clean = np.sin(0.2 * np.arange(4096) + random.uniform(0, 6, (batch_size, 1)))
        noisy = clean + random.normal(scale=0.3, size=clean.shape)
        return noisy.astype(np.float32), clean.astype(np.float32)


def network(units: int = 8, seed: int = 1) -> SequenceModel:
    sizes = TinyLSTMs(bands=BANDS, lstm_units=(units,), dense_units=8)
    return small_networks.network(sizes, seed=seed).build()


def settings(**changes: Any) -> Settings:
    return Settings(
        **{
            "steps": 3,
            "batch_size": 2,
            "learning_rate": 1e-3,
            "warmup_steps": 1,
            "average_decay": 0.9,
            "spectral_weight": 0.5,
            "validate_every": 3,
            "keep_best_from": 1,
            **changes,
        }
    )

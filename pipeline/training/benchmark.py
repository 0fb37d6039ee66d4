"""How much of a training step is the network itself.

``python -m pipeline.training.benchmark`` times optimizer steps of the real training loop, with
mixing, analysis, loss and weight averaging, against bare ``train_on_batch`` calls of the same
network on tensors that are already in memory.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.cli import parse, reported_errors
from pipeline.inputs import prepared_corpus, prepared_front_end, training_mixer
from pipeline.keras import limit_threads, tf, tf_keras
from pipeline.networks.trained import untrained
from pipeline.training.loop import Settings, fit
from pipeline.training.model import SequenceModel

WARM_UP_STEPS = 5
STEPS = 30


def bare_step_ms(model: SequenceModel, batch_size: int, frames: int, bands: int) -> float:
    """Milliseconds of a Keras training step on random tensors in memory."""
    model.compile(tf_keras.optimizers.Adam(), "mse")
    features = tf.random.uniform([batch_size, frames, bands], -1, 1)
    target = tf.random.uniform([batch_size, frames, bands])
    for _ in range(WARM_UP_STEPS):
        model.train_on_batch(features, target)
    started = time.perf_counter()
    for _ in range(STEPS):
        model.train_on_batch(features, target)
    return 1000 * (time.perf_counter() - started) / STEPS


def main() -> None:
    """Print both times and their ratio."""
    options = parse("python -m pipeline.training.benchmark", __doc__ or "")
    config, run_dir = options.config, options.run_dir
    with reported_errors():
        limit_threads(config.train.threads)
        front_end = prepared_front_end(run_dir)
        mixer = training_mixer(config, prepared_corpus(run_dir))
        batch_size = config.train.batch_size
        model = untrained(config.network, front_end, config.seed).build()
        settings = Settings(
            steps=WARM_UP_STEPS + STEPS,
            batch_size=batch_size,
            learning_rate=1e-4,
            warmup_steps=1,
            average_decay=0.99,
            spectral_weight=config.train.spectral_weight,
            validate_every=WARM_UP_STEPS + STEPS,
        )
        ticks: list[float] = []
        with tempfile.TemporaryDirectory() as scratch:
            fit(
                model,
                mixer,
                front_end,
                settings,
                Path(scratch),
                lambda _: {"score": 0.0},
                on_progress=lambda step, record: ticks.append(time.perf_counter()),
            )
    # The last step also validates and writes a checkpoint: leave it out.
    full_ms = 1000 * float(np.mean(np.diff(ticks[WARM_UP_STEPS:-1])))
    frames = 1 + -(-round(config.mixing.crop_s * 16_000) // 256)
    bare_ms = bare_step_ms(model, batch_size, frames, config.network.bands)
    print(f"training step {full_ms:.0f} ms, bare Keras step {bare_ms:.0f} ms")
    print(f"ratio {bare_ms / full_ms:.2f} of the bare step's speed")


if __name__ == "__main__":
    main()

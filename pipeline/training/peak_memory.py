"""How much memory training takes, and how long a step, by what is kept for the backward pass.

``python -m pipeline.training.peak_memory`` trains the network of a configuration in integers, on
random features in batches of its size and crops of its length, once with activations as they are,
once for each way to stash them, and once with gradient checkpointing (Chen et al., 2016), which
keeps the sums of products alone and computes again what follows them. Every run is a process of its
own; what it held before the first step is subtracted from the most it has ever held.
"""

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Literal

import numpy as np

from pipeline.cli import parse, reported_errors
from pipeline.config import Config
from pipeline.dsp import HOP_SAMPLES, RATE_HZ, FrontEnd
from pipeline.networks.graph import Node
from pipeline.reporting.table import Table

STEPS = 6
Kept = Literal["floats", "sums"] | float
WAYS: tuple[Kept, ...] = ("floats", "sums", 0.0, 0.25, 0.5, 0.75)


def measure(config: Config, kept: Kept) -> tuple[int, float]:
    """Peak memory of training in bytes, and the median time of a step in ms.

    Args:
        config: says network, batch and crop.
        kept: for the backward pass: activations as they are, sums alone, or integers of which this
            share of the blocks is forgotten.
    """
    from pipeline.keras import limit_threads, tf, tf_keras
    from pipeline.networks.trained import untrained
    from pipeline.quantization import INT8
    from pipeline.quantization.calibration import in_scheme
    from pipeline.training.model import SequenceModel
    from pipeline.training.stash import Stash

    class Checkpointed(SequenceModel):
        """Computes what follows a node's sums again in the backward pass."""

        def finished(self, node: Node, y: "tf.Tensor", training: bool) -> "tf.Tensor":
            finish = super().finished
            return tf.recompute_grad(lambda y: finish(node, y, training))(y)

    limit_threads(config.train.threads)
    bands, batch = config.network.bands, config.train.batch_size
    hops = round(config.mixing.crop_s * RATE_HZ) // HOP_SAMPLES
    heard = np.random.default_rng(0).uniform(-1, 1, (batch, hops, bands)).astype(np.float32)
    front_end = FrontEnd(np.zeros(bands, np.float32), np.ones(bands, np.float32))
    start = untrained(config.network, front_end, config.seed).folded()
    trained = in_scheme(start, INT8, heard[:1])
    kind = Checkpointed if kept == "sums" else SequenceModel
    model = kind(trained.graph, trained.arrays, trained.scheme)
    model.stash = Stash(kept) if isinstance(kept, float) else None
    variables = model.trainable_weights
    optimizer = tf_keras.optimizers.Adam(1e-4)
    optimizer.build(variables)

    @tf.function
    def step(features: "tf.Tensor") -> "tf.Tensor":
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(features, training=True) - 0.3))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    step(tf.constant(heard[:1, :16]))
    before, times = _peak_bytes(), []
    for _ in range(STEPS):
        started = time.perf_counter()
        float(step(tf.constant(heard)))
        times.append(1000 * (time.perf_counter() - started))
    # The first step of this size is still being prepared.
    return _peak_bytes() - before, float(np.median(times[1:]))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print a table."""
    options = parse("python -m pipeline.training.peak_memory", __doc__ or "")
    config, lines = options.config, []
    with reported_errors():
        for kept in WAYS:
            fresh = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, fresh) as pool:
                peak, step_ms = pool.submit(measure, config, kept).result()
            name = kept if isinstance(kept, str) else f"integers, {kept:.0%} of blocks forgotten"
            lines.append((name, f"{peak / 1e6:.0f}", f"{step_ms:.0f}"))
    columns = ("Kept for the backward pass", "Peak memory, MB", "Step, ms")
    print(Table.of("", columns, lines).markdown(), end="")


if __name__ == "__main__":
    main()

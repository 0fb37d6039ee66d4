"""The one place that imports Keras.

TF-MOT 0.8 works on Keras 2 (the ``tf_keras`` package) only. `pipeline` asks TensorFlow for it
before TensorFlow loads; if some other module has already bound Keras 3 to ``tf.keras`` the two
would mix silently and fail deep inside TF-MOT, so that is refused here with a way out.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

if tf.keras.Model is not tf_keras.Model:
    raise ImportError(
        "tf.keras is already bound to Keras 3, but this package needs Keras 2 (tf_keras): "
        "import `pipeline` before tensorflow, or set TF_USE_LEGACY_KERAS=1 in the environment"
    )

__all__ = ["bfloat16_products", "limit_threads", "tf", "tf_keras"]


def limit_threads(threads: int) -> None:
    """Use this many cores for arithmetic; a TensorFlow that already runs keeps what it has."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)


@contextlib.contextmanager
def bfloat16_products(wanted: bool) -> Iterator[None]:
    """Let graphs that are built inside multiply matrices in bfloat16, if `wanted`."""
    option = "auto_mixed_precision_onednn_bfloat16"
    tf.config.optimizer.set_experimental_options({option: wanted})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: False})

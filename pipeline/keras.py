"""The one place that imports Keras.

TF-MOT 0.8 works on Keras 2 (the ``tf_keras`` package) only. `pipeline` asks TensorFlow for it
before TensorFlow loads; if some other module has already bound Keras 3 to ``tf.keras`` the two
would mix silently and fail deep inside TF-MOT, so that is refused here with a way out.
"""

import contextlib

import tensorflow as tf
import tf_keras

if tf.keras.Model is not tf_keras.Model:
    raise ImportError(
        "tf.keras is already bound to Keras 3, but this package needs Keras 2 (tf_keras): "
        "import `pipeline` before tensorflow, or set TF_USE_LEGACY_KERAS=1 in the environment"
    )

__all__ = ["limit_threads", "tf", "tf_keras"]


def limit_threads(threads: int) -> None:
    """Use this many cores for arithmetic; a TensorFlow that already runs keeps what it has."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)

"""Products in bfloat16, where they are asked for and nowhere else."""

import numpy as np

from pipeline.keras import bfloat16_products, tf


def test_products_are_coarse_inside_at_most_and_exact_after() -> None:
    random = np.random.default_rng(3)
    x, w = (random.standard_normal((64, 64)).astype(np.float32) for _ in range(2))

    @tf.function
    def product(x: "tf.Tensor") -> "tf.Tensor":
        return tf.matmul(tf.nn.relu(x @ tf.constant(w)), tf.constant(w))

    with bfloat16_products(True):
        coarse = product(x).numpy()
    exact = tf.function(product.python_function)(x).numpy()
    expected = np.maximum(x.astype(float) @ w, 0) @ w
    np.testing.assert_allclose(coarse, expected, atol=0.02 * np.abs(expected).max())
    np.testing.assert_allclose(exact, expected, atol=1e-5 * np.abs(expected).max())

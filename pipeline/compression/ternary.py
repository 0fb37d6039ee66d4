"""Weights of three values: zero, and one magnitude with either sign.

After ternary weight networks (Li et al., 2016): weights above 0.7 of the mean magnitude stay, the
mean of those is the magnitude, here rounded to a power of two, which every int8 grid holds.
"""

from pipeline.keras import tf
from pipeline.quantization.fake import Gradient, power_of_two_above
from pipeline.quantization.scheme import MIN_WEIGHT

THRESHOLD = 0.7
# Weights beyond so many magnitudes get no gradient.
REACH = 1.5


def ternary(weights: "tf.Tensor") -> "tf.Tensor":
    """Three values of the same shape; zeros stay zeros, and do not count towards the means."""

    @tf.custom_gradient
    def rounded(x: "tf.Tensor") -> tuple["tf.Tensor", Gradient]:
        size = tf.abs(x)
        kept = tf.cast(size > THRESHOLD * _mean(size), x.dtype)
        # The nearest power of two on a logarithmic scale.
        nearest = tf.maximum(_mean(size * kept), MIN_WEIGHT) * 2.0**-0.5
        magnitude = power_of_two_above(nearest)
        inside = tf.cast(size <= REACH * magnitude, x.dtype)
        return magnitude * tf.sign(x) * kept, lambda dy: dy * inside

    return rounded(weights)


def _mean(sizes: "tf.Tensor") -> "tf.Tensor":
    """Of those that are not zero."""
    count = tf.math.count_nonzero(sizes, dtype=sizes.dtype)
    return tf.reduce_sum(sizes) / tf.maximum(count, 1.0)

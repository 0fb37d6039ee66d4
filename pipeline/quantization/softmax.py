"""Softmax in integers, as TensorFlow Lite's reference kernel, Micro's and the NPU compute it.

The exponential of each difference to a row's largest value is a 31-bit fraction, one of 256; the
reciprocal of their sum comes from three steps of Newton and Raphson's division in 32-bit fixed
point (gemmlowp). All of it is whole numbers, so training can hold the very same result; a softmax
in floating point, put on the grid afterwards, is off by a step at times.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from pipeline.keras import tf
from pipeline.quantization.fake import Gradient
from pipeline.quantization.scheme import Grid

# Bits before the point: of differences, of sums, and of the values of an 8-bit result.
_DIFFERENCE_BITS, _SUM_BITS, _RESULT_BITS = 5, 12, 8
_WORD_BITS = 31
# Of the first guess of 1 / d for d in [1/2, 1): 48/17 - 32/17 d, with two bits before the point.
_GUESS, _GUESS_SLOPE = 1515870810, -1010580540


def softmax_on_grid(x: "tf.Tensor", given: Grid | None, grid: Grid | None) -> "tf.Tensor":
    """Softmax over the last axis of values on the grid ``given``.

    The gradient is that of the softmax in floating point.

    Args:
        x: any shape.
        given: int8 grid of `x`, whose scale is a power of two; None for floating point.
        grid: of the result: int8, 1/256 a step from zero point -128.
    """
    if given is None or grid is None:
        return tf.nn.softmax(x)
    table = tf.constant(exponentials(given.scale))

    @tf.custom_gradient
    def integer(x: "tf.Tensor") -> tuple["tf.Tensor", Gradient]:
        behind = (tf.reduce_max(x, axis=-1, keepdims=True) - x) * (1.0 / given.scale)
        shares = tf.gather(table, tf.cast(behind, tf.int32))
        total = tf.reduce_sum(_shifted(shares, _SUM_BITS), axis=-1, keepdims=True)
        reciprocal, above = _reciprocal(total)
        steps = _shifted(_high_product(shares, reciprocal), above + _WORD_BITS - _RESULT_BITS)
        largest = 2**_RESULT_BITS - 1
        value = tf.cast(tf.minimum(steps, largest), x.dtype) * grid.scale

        def gradient(dy: "tf.Tensor") -> "tf.Tensor":
            share = tf.nn.softmax(x)
            return share * (dy - tf.reduce_sum(dy * share, axis=-1, keepdims=True))

        return value, gradient

    return integer(x)


@functools.cache
def exponentials(scale: float) -> NDArray[np.int64]:
    """``exp(-n * scale)`` as 31-bit fractions, int64 ``[256]``; 0 beyond what the kernel reads."""
    from ethosu.vela.fp_math import exp_on_negative_values

    fraction = 2 ** (_WORD_BITS - _DIFFERENCE_BITS)
    # TFLite's CalculateInputRadius, for a multiplier of one half.
    furthest = int((2**_DIFFERENCE_BITS - 1) / (2 * scale))
    steps = range(min(furthest, 255) + 1)
    values = [int(exp_on_negative_values(-round(n * scale * fraction))) for n in steps]
    return np.array(values + [0] * (256 - len(values)), np.int64)


def _reciprocal(total: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    """1 over a sum with 12 bits before the point: a 31-bit fraction and how far it is shifted.

    The sum is 2**above times 1 + a with a in [0, 1); the fraction is 1 / (1 + a).
    """
    # A float64 holds the sum exactly, and its exponent is where the highest bit stands.
    exponent = tf.bitcast(tf.cast(total, tf.float64), tf.int64)
    highest = tf.bitwise.right_shift(exponent, tf.constant(52, tf.int64)) - 1023
    above = highest + _SUM_BITS - _WORD_BITS
    a = tf.bitwise.left_shift(total, _WORD_BITS - highest) - 2**_WORD_BITS
    half = (a + 2**_WORD_BITS) // 2
    x = _GUESS + _high_product(half, tf.constant(_GUESS_SLOPE, tf.int64))
    for _ in range(3):
        rest = 2 ** (_WORD_BITS - 2) - _high_product(half, x)
        x += 4 * _high_product(x, rest)
    return tf.minimum(2 * x, 2**_WORD_BITS - 1), above


def _high_product(a: "tf.Tensor", b: "tf.Tensor") -> "tf.Tensor":
    """Of two 31-bit fractions, rounded half up."""
    half = 2 ** (_WORD_BITS - 1)
    return tf.bitwise.right_shift(a * b + half, tf.constant(_WORD_BITS, tf.int64))


def _shifted(value: "tf.Tensor", bits: "tf.Tensor | int") -> "tf.Tensor":
    """Over ``2**bits``, ties upwards; nothing here is negative."""
    bits = tf.cast(bits, tf.int64)
    half = tf.bitwise.left_shift(tf.constant(1, tf.int64), bits - 1)
    return tf.bitwise.right_shift(value + half, bits)

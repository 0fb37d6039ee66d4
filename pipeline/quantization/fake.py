"""Fake quantization: float tensors that only take values an integer grid can hold.

Rounding is half away from zero, as in TensorFlow Lite's reference kernels. Each function returns
grid values exactly (no ``x + stop_gradient(q - x)``, which is off by an ulp) and passes gradients
straight through (Bengio et al., 2013).
"""

from collections.abc import Callable

from pipeline.keras import tf
from pipeline.quantization.scheme import MIN_WEIGHT, WEIGHT_LIMIT, Grid

MANTISSA = 0x7FFFFF

Gradient = Callable[["tf.Tensor"], "tf.Tensor"]


def _half_away(value: "tf.Tensor") -> "tf.Tensor":
    return tf.sign(value) * tf.floor(tf.abs(value) + 0.5)


def _saturated(steps: "tf.Tensor", grid: Grid) -> "tf.Tensor":
    return tf.clip_by_value(steps * grid.scale, grid.minimum, grid.maximum)


def on_grid(value: "tf.Tensor", grid: Grid | None) -> "tf.Tensor":
    """Round to ``grid``, saturating; the gradient passes inside the grid's range only."""
    if grid is None:
        return value

    @tf.custom_gradient
    def rounded(x: "tf.Tensor") -> tuple["tf.Tensor", Gradient]:
        # Kept for the backward pass: a byte a value.
        inside = (x >= grid.minimum) & (x <= grid.maximum)
        value = _saturated(_half_away(x * (1.0 / grid.scale)), grid)
        return value, lambda dy: dy * tf.cast(inside, dy.dtype)

    return rounded(value)


def product_on_grid(
    product: "tf.Tensor", a: Grid | None, b: Grid | None, grid: Grid | None
) -> "tf.Tensor":
    """Round products, or sums of them, of values on grids ``a`` and ``b`` as MUL does."""
    if a is None or b is None or grid is None:
        return product
    return _rounded_twice(product, a.scale * b.scale, grid)


def mean_on_grid(x: "tf.Tensor", given: Grid | None, grid: Grid | None) -> "tf.Tensor":
    """Mean over the last but one axis, of a power of two of values, as MEAN computes it."""
    if given is None or grid is None:
        return tf.reduce_mean(x, axis=-2)
    return _rounded_twice(tf.reduce_mean(x, axis=-2), given.scale / x.shape[-2], grid)


def requantized(x: "tf.Tensor", given: Grid | None, grid: Grid | None) -> "tf.Tensor":
    """Put values of one grid on another as QUANTIZE does."""
    return x if given is None or grid is None else _rounded_twice(x, given.scale, grid)


def _rounded_twice(value: "tf.Tensor", step: float, grid: Grid) -> "tf.Tensor":
    """Round multiples of a step to a grid as TensorFlow Lite does where it multiplies nothing.

    Its multiplier is a 31-bit fraction followed by a shift, and each of the two rounds
    (gemmlowp): the first half up, the second half away from zero. For a power of two the fraction
    is 1/2, so a value is halved and rounded before it is shifted to a coarser grid, which moves
    some values that lie just below a tie. The gradient passes inside the grid's range only.
    """
    half = min(2.0 * step, grid.scale)

    @tf.custom_gradient
    def rounded(x: "tf.Tensor") -> tuple["tf.Tensor", Gradient]:
        inside = (x >= grid.minimum) & (x <= grid.maximum)
        halves = tf.floor(x * (1.0 / half) + 0.5)
        rounded_value = _saturated(_half_away(halves * (half / grid.scale)), grid)
        return rounded_value, lambda dy: dy * tf.cast(inside, dy.dtype)

    return rounded(value)


def weight_scale(weights: "tf.Tensor") -> "tf.Tensor":
    """Step of one weight matrix: the smallest power of two that reaches its largest magnitude."""
    return power_of_two_above(tf.maximum(tf.reduce_max(tf.abs(weights)), MIN_WEIGHT) / WEIGHT_LIMIT)


def power_of_two_above(value: "tf.Tensor") -> "tf.Tensor":
    """Smallest power of two that is not below a positive float32.

    Adding the largest mantissa carries into the exponent of any float32 that is not a power of
    two already, so clearing the mantissa afterwards rounds up, exactly.
    """
    bits = tf.bitcast(value, tf.int32)
    return tf.bitcast(tf.bitwise.bitwise_and(bits + MANTISSA, ~MANTISSA), tf.float32)


def weight_steps(weights: "tf.Tensor", scale: "tf.Tensor") -> "tf.Tensor":
    """Nearest whole multiples of ``scale``, in float32."""
    return _half_away(weights / scale)


def rounded_to(value: "tf.Tensor", scale: "tf.Tensor") -> "tf.Tensor":
    """Round weights or biases to multiples of ``scale``, straight-through gradient."""
    return straight_through(value, weight_steps(value, scale) * scale)


def straight_through(value: "tf.Tensor", result: "tf.Tensor") -> "tf.Tensor":
    """``result``, whose gradient is ``value``'s as it is; both of one shape."""

    @tf.custom_gradient
    def instead(x: "tf.Tensor", y: "tf.Tensor") -> tuple["tf.Tensor", object]:
        return tf.identity(y), lambda dy: (dy, None)

    return instead(value, result)

"""The NPU's built-in 16-bit tanh and sigmoid.

They interpolate linearly in a table of 256 points of the sigmoid, as TFLite's 16-bit reference
kernels do. Input is in steps of 1/12288 (the output scale puts it there), output in 1/32768.
"""

from __future__ import annotations

import numpy as np

from .arithmetic import Integers

_STEPS_PER_UNIT = 24
_LAST = 255


def _table() -> Integers:
    """Sigmoid at i / 24 in units of 1/65536.

    Every point is raised by half the largest error a chord would make (h^2 |s''| / 16), so that
    interpolation errs equally to both sides; the last point is full scale.
    """
    sigmoid = 1 / (1 + np.exp(-np.arange(_LAST + 1) / _STEPS_PER_UNIT))
    curvature = sigmoid * (1 - sigmoid) * (2 * sigmoid - 1) / _STEPS_PER_UNIT**2
    table = np.rint(65536 * (sigmoid + curvature / 16)).astype(np.int64)
    table[_LAST] = 65535
    return table


_TABLE = _table()


def sigmoid_int16(values: Integers) -> Integers:
    """Sigmoid of values / 12288, in units of 1/32768."""
    magnitude = np.abs(values)
    interpolated = _interpolate(magnitude, 9)
    interpolated = np.where(magnitude >> 9 >= _LAST, 0x7FFF << 10, interpolated)
    result = np.where(values >= 0, interpolated, (1 << 25) - interpolated - 1)
    return (result + (1 << 9)) >> 10


def tanh_int16(values: Integers) -> Integers:
    """Hyperbolic tangent of values / 12288, in units of 1/32768: 2 * sigmoid(2 x) - 1."""
    magnitude = np.abs(values)
    interpolated = _interpolate(magnitude, 8)
    interpolated = np.where(magnitude >> 8 >= _LAST, 0xFFFF << 8, interpolated) - (1 << 23)
    result = np.where(values >= 0, interpolated, -interpolated - 1)
    return (result + (1 << 7)) >> 8


def _interpolate(magnitude: Integers, fraction_bits: int) -> Integers:
    """Table value at magnitude / 2**fraction_bits, scaled by 2**fraction_bits."""
    index = np.minimum(magnitude >> fraction_bits, _LAST - 1)
    low, high = _TABLE[index], _TABLE[index + 1]
    return (low << fraction_bits) + (magnitude & (1 << fraction_bits) - 1) * (high - low)

"""Integer scaling of the output stage: acc * scale / 2**shift under the NPU's rounding modes.

DOUBLE is TFLite's `MultiplyByQuantizedMultiplier` (gemmlowp): round to 31 fractional bits with
ties upwards, then divide by the remaining power of two with ties away from zero. NATURAL rounds
once with ties upwards, TRUNCATE goes towards zero (Arm Ethos-U55 TRM, OFM_PRECISION).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .operations import Rounding

Integers = NDArray[np.int64]
Rescale = Callable[[Integers], Integers]

_INT64_SAFE = 1 << 62
_HIGH_MULTIPLY_BITS = 31


def divide_by_power_of_two(values: Any, shift: Any) -> Any:
    """values / 2**shift, nearest, ties away from zero (gemmlowp RoundingDivideByPOT)."""
    mask = (1 << shift) - 1
    threshold = (mask >> 1) + (values < 0)
    return (values >> shift) + ((values & mask) > threshold)


def divide_ties_up(values: Any, shift: Any) -> Any:
    """values / 2**shift, nearest, ties towards plus infinity."""
    half = np.where(shift, 1 << np.maximum(shift - 1, 0), 0)
    return (values + half) >> shift


def divide_towards_zero(values: Any, shift: Any) -> Any:
    """values / 2**shift, truncated."""
    return np.sign(values) * (np.abs(values) >> shift)


def make_rescale(
    scale: int | Integers,
    shift: int | Integers,
    rounding: Rounding,
    largest_input: int | Integers,
    high_multiply_bits: int = _HIGH_MULTIPLY_BITS,
) -> Rescale:
    """A function that rescales int64 arrays whose magnitude is at most `largest_input`.

    `scale` is unsigned 32-bit, `shift` 0 to 63; arrays of them, and of `largest_input`, apply
    along the last axis.
    `high_multiply_bits` is where DOUBLE rounds first; elementwise operand scaling moves it.
    Products that could leave 64 bits are computed with Python integers.
    """
    scales, shifts = np.asarray(scale, np.int64), np.asarray(shift, np.int64)
    divide = {
        Rounding.DOUBLE: _double_division(shifts, high_multiply_bits),
        Rounding.NATURAL: lambda product: divide_ties_up(product, shifts),
        Rounding.TRUNCATE: lambda product: divide_towards_zero(product, shifts),
    }[rounding]
    largest_products = np.asarray(largest_input, object) * scales.astype(object)
    if np.any(largest_products >= _INT64_SAFE):
        return _make_wide_rescale(scales, shifts, rounding, high_multiply_bits)
    if (scales == 1).all() and (shifts == 0).all():
        return lambda values: values
    return lambda values: divide(values * scales)


def _double_division(shifts: Integers, high_multiply_bits: int) -> Callable[[Any], Any]:
    first = np.minimum(shifts, high_multiply_bits)
    second = shifts - first
    nudge = (1 << first) >> 1
    if not second.any():
        return lambda product: (product + nudge) >> first
    mask = (1 << second) - 1
    half = mask >> 1

    def divide(product: Any) -> Any:
        high = (product + nudge) >> first
        return (high >> second) + ((high & mask) > half + (high < 0))

    return divide


def _make_wide_rescale(
    scales: Integers, shifts: Integers, rounding: Rounding, high_multiply_bits: int
) -> Rescale:
    """The same arithmetic element by element in unbounded Python integers, saturated to int64."""

    def one(value: int, scale: int, shift: int) -> int:
        product = value * scale
        if rounding is Rounding.NATURAL:
            result = (product + ((1 << shift) >> 1)) >> shift
        elif rounding is Rounding.TRUNCATE:
            result = -(-product >> shift) if product < 0 else product >> shift
        else:
            first = min(shift, high_multiply_bits)
            high = (product + ((1 << first) >> 1)) >> first
            second = shift - first
            half = (1 << second) >> 1
            result = (high + half - (high < 0)) >> second if second else high
        return max(-_INT64_SAFE, min(_INT64_SAFE, result))

    vectorized = np.vectorize(one, otypes=[np.int64])

    def rescale(values: Integers) -> Integers:
        result: Integers = vectorized(
            values.astype(object), scales.astype(object), shifts.astype(object)
        )
        return result

    return rescale

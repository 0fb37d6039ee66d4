"""The TFLite 2.21 reference kernels' integer arithmetic, written independently in numpy.

Two roundings are in use. Elementwise operators round twice, as gemmlowp does: a saturating rounding
doubling high multiply, then a rounding right shift, each half away from zero. FULLY_CONNECTED
rounds once, half up. MUL alone computes its multiplier in float32.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.lowering.flatbuffer import Tensor

Integers = NDArray[np.int64]
_RANGE = {"int8": (-128, 127), "int16": (-32768, 32767)}


def quantized_multiplier(real: float) -> tuple[int, int]:
    """`real` as (31-bit mantissa, exponent): real = mantissa / 2**31 * 2**exponent."""
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * 2**31 + 0.5)
    return (mantissa // 2, exponent + 1) if mantissa == 2**31 else (mantissa, exponent)


def rescale(values: Integers, real: float) -> Integers:
    mantissa, exponent = quantized_multiplier(real)
    product = (values << max(exponent, 0)) * mantissa
    high = (np.abs(product) + (1 << 30) - (product < 0)) >> 31
    high = np.where(product < 0, -high, high)
    return rounding_shift(high, max(-exponent, 0))


def rounding_shift(values: Integers, bits: int) -> Integers:
    mask = (1 << bits) - 1
    return (values >> bits) + ((values & mask) > (mask >> 1) + (values < 0))


def saturate(values: Integers, out: Tensor, low: int | None = None) -> NDArray[np.integer]:
    smallest, largest = _RANGE[out.dtype]
    floor = smallest if low is None else max(low, smallest)
    return np.clip(values + out.zero_point, floor, largest).astype(out.dtype)


def real(values: NDArray[np.integer], tensor: Tensor) -> Integers:
    """Stored integers without their zero point."""
    return values.astype(np.int64) - tensor.zero_point


def fully_connected(
    x: NDArray[np.integer],
    weights: NDArray[np.int8],
    bias: NDArray[np.integer],
    tensors: tuple[Tensor, Tensor, Tensor],
    relu: bool = False,
) -> NDArray[np.integer]:
    x_tensor, w_tensor, out = tensors
    total = real(x, x_tensor) @ weights.astype(np.int64).T + bias
    ratio = x_tensor.scale * w_tensor.scale / out.scale
    mantissa, exponent = quantized_multiplier(ratio)
    shift = 31 - exponent
    scaled = (total * mantissa + (1 << (shift - 1))) >> shift
    return saturate(scaled, out, out.zero_point if relu else None)


def requantize(x: NDArray[np.integer], x_tensor: Tensor, out: Tensor) -> NDArray[np.integer]:
    return saturate(rescale(real(x, x_tensor), x_tensor.scale / out.scale), out)


def mul(
    a: NDArray[np.integer], b: NDArray[np.integer], tensors: tuple[Tensor, Tensor, Tensor]
) -> NDArray[np.integer]:
    ta, tb, out = tensors
    ratio = np.float32(ta.scale) * np.float32(tb.scale) / np.float32(out.scale)
    return saturate(rescale(real(a, ta) * real(b, tb), float(ratio)), out)


def add(
    a: NDArray[np.integer],
    b: NDArray[np.integer],
    tensors: tuple[Tensor, Tensor, Tensor],
    sign: int = 1,
) -> NDArray[np.integer]:
    ta, tb, out = tensors
    headroom_bits = 20 if out.dtype == "int8" else 15
    common = 2 * max(ta.scale, tb.scale)
    aligned = rescale(real(a, ta) << headroom_bits, ta.scale / common)
    aligned += sign * rescale(real(b, tb) << headroom_bits, tb.scale / common)
    return saturate(rescale(aligned, common / ((1 << headroom_bits) * out.scale)), out)

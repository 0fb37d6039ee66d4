"""Decodes weight streams and per-channel scale records.

What `weight_codec.decode_stream` returns follows the order in which the MAC array consumes weights
(Vela `weight_compressor.py`, `mlw_codec` reorder): OFM blocks, IFM blocks, sub-kernels of at most
8 x 8 dilated taps, then micro-blocks, padded with zeros to whole micro-blocks. Here that order is
built as an index array, so that one scatter puts the weights back into (O, H, W, I).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .npu import SUBKERNEL_TAPS
from .weight_codec import WeightStreamError, decode_stream

SCALE_RECORD_BYTES = 10
_MAX_WEIGHTS_PER_BYTE = 1024  # a stream of zeros alone holds 64


@dataclass(frozen=True)
class WeightGeometry:
    """All that decides the order of weights in a stream; depths in channels, kernel in taps."""

    ofm_depth: int
    kernel_height: int
    kernel_width: int
    ifm_depth: int
    ofm_block_depth: int
    ofm_ublock_depth: int
    ifm_ublock_depth: int
    dilation_y: int
    dilation_x: int
    ifm_bits: int
    depthwise: bool
    part_kernel_first: bool


@lru_cache(maxsize=64)
def stream_order(geometry: WeightGeometry) -> NDArray[np.int64]:
    """Flat (O, H, W, I) index of every weight in stream order, -1 where the stream is padded."""
    g = geometry
    ifm_depth = 1 if g.depthwise else g.ifm_depth
    ifm_block = 16 if g.part_kernel_first or g.ifm_bits == 16 else 32
    rounding = 4 if g.depthwise else (2 if g.ifm_bits == 16 else 4) if g.part_kernel_first else 1
    step_y, step_x = SUBKERNEL_TAPS // g.dilation_y, SUBKERNEL_TAPS // g.dilation_x
    pieces = []
    for o0 in range(0, g.ofm_depth, g.ofm_block_depth):
        o1 = min(o0 + g.ofm_block_depth, g.ofm_depth)
        ofm_blocks = np.arange(o0, o1, g.ofm_ublock_depth)
        for i0 in range(0, ifm_depth, ifm_block):
            if g.depthwise:
                ifm_span = 1
            elif g.part_kernel_first:
                ifm_span = min(ifm_block, ifm_depth - i0)
            else:
                ifm_span = ifm_block
            ifm_blocks = np.arange(i0, i0 + ifm_span, g.ifm_ublock_depth)
            for y0 in range(0, g.kernel_height, step_y):
                for x0 in range(0, g.kernel_width, step_x):
                    taps = _tap_indices(g, y0, x0, step_y, step_x, rounding)
                    pieces.append(_micro_block_order(g, o1, ofm_blocks, ifm_blocks, taps))
    return np.concatenate(pieces)


def _tap_indices(
    g: WeightGeometry, y0: int, x0: int, step_y: int, step_x: int, rounding: int
) -> NDArray[np.int64]:
    """Flat (H, W) index of each tap of a sub-kernel, -1 for taps that only fill up."""
    width = min(g.kernel_width - x0, step_x)
    height = min(g.kernel_height - y0, step_y)
    count = -(-width * height // rounding) * rounding
    element = np.arange(count)
    flat = (y0 + element // width) * g.kernel_width + x0 + element % width
    return np.where(element < width * height, flat, -1)


def _micro_block_order(
    g: WeightGeometry,
    ofm_end: int,
    ofm_blocks: NDArray[np.int64],
    ifm_blocks: NDArray[np.int64],
    taps: NDArray[np.int64],
) -> NDArray[np.int64]:
    depth = 1 if g.depthwise else g.ifm_depth
    o_inner = np.arange(g.ofm_ublock_depth)
    i_inner = np.arange(1 if g.depthwise else g.ifm_ublock_depth)
    # Axes: IFM micro-block, OFM micro-block, tap, OFM channel, IFM channel. Depth first swaps the
    # IFM micro-block to just outside the channels.
    i = ifm_blocks[:, None, None, None, None] + i_inner
    o = ofm_blocks[None, :, None, None, None] + o_inner[:, None]
    tap = taps[None, None, :, None, None]
    valid = (i < depth) & (o < ofm_end) & (tap >= 0)
    kernel_taps = g.kernel_height * g.kernel_width
    order = np.where(valid, (o * kernel_taps + tap) * depth + i, -1)
    if not g.part_kernel_first:
        order = order.transpose(1, 2, 0, 3, 4)
    return order.reshape(-1)


def decode_weights(stream: NDArray[np.uint8], geometry: WeightGeometry) -> NDArray[np.int16]:
    """Weights as (O, H, W, I), zero points already subtracted by the compiler.

    Raises:
        WeightStreamError: more or fewer weights than the operation consumes, or non-zero padding.
    """
    g = geometry
    count = g.ofm_depth * g.kernel_height * g.kernel_width * (1 if g.depthwise else g.ifm_depth)
    if count > _MAX_WEIGHTS_PER_BYTE * len(stream):
        raise WeightStreamError(f"{len(stream)} bytes cannot hold {count} weights")
    order = stream_order(geometry)
    decoded = decode_stream(stream, len(order))
    if decoded[order < 0].any():
        raise WeightStreamError("weight stream has non-zero weights outside the kernel")
    shape = (g.ofm_depth, g.kernel_height, g.kernel_width, 1 if g.depthwise else g.ifm_depth)
    weights = np.zeros(np.prod(shape), np.int16)
    weights[order[order >= 0]] = decoded[order >= 0]
    return weights.reshape(shape)


@dataclass(frozen=True)
class ScaleRecords:
    """Per-channel bias (signed 40 bits), multiplier (unsigned 32 bits) and right shift (6 bits)."""

    bias: NDArray[np.int64]
    scale: NDArray[np.int64]
    shift: NDArray[np.int64]


def decode_scales(data: NDArray[np.uint8], channels: int) -> ScaleRecords:
    """Unpacks 10-byte records (Vela `encode_bias`): 40-bit bias, 32-bit scale, 6-bit shift.

    Raises:
        WeightStreamError: fewer bytes than `channels` records need.
    """
    if len(data) < channels * SCALE_RECORD_BYTES:
        raise WeightStreamError(
            f"{len(data)} bytes of scale records, {channels} channels need "
            f"{channels * SCALE_RECORD_BYTES}"
        )
    records = data[: channels * SCALE_RECORD_BYTES].reshape(channels, SCALE_RECORD_BYTES)
    records = records.astype(np.int64)
    bias = records[:, :5] @ (1 << 8 * np.arange(5))
    bias = np.where(bias >> 39 & 1, bias - (1 << 40), bias)
    return ScaleRecords(bias, records[:, 5:9] @ (1 << 8 * np.arange(4)), records[:, 9] & 0x3F)

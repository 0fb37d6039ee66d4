"""Bytes each operation moves over the AXI ports, counted from its block structure.

The NPU walks the OFM block by block, depth innermost. Every block fetches the input it needs,
clipped to the feature map; convolutions fetch the whole input depth for every block, and restart
the weight stream at every block position in the plane.
"""

from __future__ import annotations

from dataclasses import dataclass

from .memory import BRICK_CHANNELS
from .npu import SUBKERNEL_TAPS, ceil_divide
from .operations import (
    BlockOperation,
    Convolution,
    Dma,
    Elementwise,
    FeatureMap,
    Layout,
    Operation,
    Pooling,
    PoolMode,
    Upscale,
)


@dataclass(frozen=True)
class Transfer:
    """`payload_bytes` useful bytes of one kind moved in `beats` from or to a region."""

    kind: str
    region: int
    is_write: bool
    payload_bytes: int
    beats: int


def operation_transfers(op: Operation, beat_bytes: int) -> list[Transfer]:
    """All external transfers of one operation in beats of so many bytes; SHRAM is not external."""
    if isinstance(op, Dma):
        transfers = []
        for place, is_write in ((op.source, False), (op.destination, True)):
            if not place.internal:
                beats = -(-place.length // beat_bytes)
                transfers.append(Transfer("dma", place.region, is_write, place.length, beats))
        return transfers
    assert isinstance(op, BlockOperation)
    transfers = [_ifm_transfer(op, beat_bytes)]
    if isinstance(op, Elementwise) and op.ifm2 is not None:
        transfers.append(_plain_transfer("ifm2", op.ifm2, beat_bytes, is_write=False))
    if isinstance(op, Convolution):
        restarts = ceil_divide(op.ofm.shape[0], op.block[0]) * ceil_divide(
            op.ofm.shape[1], op.block[1]
        )
        for kind, place in (("weights", op.weights), ("scales", op.scales)):
            size = place.length * restarts
            transfers.append(Transfer(kind, place.region, False, size, size // beat_bytes))
    transfers.append(_plain_transfer("ofm", op.ofm, beat_bytes, is_write=True))
    return transfers


def _plain_transfer(kind: str, fm: FeatureMap, beat_bytes: int, *, is_write: bool) -> Transfer:
    """Each element once."""
    height, width, depth = fm.shape
    size = height * width * depth * fm.element_bytes
    return Transfer(kind, fm.region, is_write, size, height * _row_beats(fm, width, beat_bytes))


def _beats_per_position(fm: FeatureMap, depth: int, beat_bytes: int) -> int:
    """Beats for `depth` channels at one position; bricks are fetched whole."""
    if fm.layout is Layout.NHCWB16:
        brick_bytes = BRICK_CHANNELS * fm.element_bytes
        return ceil_divide(depth, BRICK_CHANNELS) * (brick_bytes // beat_bytes)
    return ceil_divide(depth * fm.element_bytes, beat_bytes)


def _ifm_transfer(op: BlockOperation, beat_bytes: int) -> Transfer:
    """Every sub-kernel fetches its own part of the windows, for each block of the output."""
    fm = op.ifm
    if isinstance(op, Elementwise):
        return _plain_transfer("ifm", fm, beat_bytes, is_write=False)
    assert isinstance(op, Convolution | Pooling)
    kernel, factor = op.kernel, 1 if op.upscale is Upscale.NONE else 2
    rows = [
        _fetched(
            op.ofm.shape[0], op.block[0], kernel.stride_y, taps, kernel.pad_top - first,
            fm.shape[0], factor,
        )
        for first, taps in _subkernels(kernel.dilated_height)
    ]  # fmt: skip
    columns = [
        _fetched(
            op.ofm.shape[1], op.block[1], kernel.stride_x, taps, kernel.pad_left - first,
            fm.shape[1], factor,
        )
        for first, taps in _subkernels(kernel.dilated_width)
    ]  # fmt: skip
    whole_depth = (
        (isinstance(op, Convolution) and not op.depthwise)
        or (isinstance(op, Pooling) and op.mode is PoolMode.REDUCE_SUM)
    )  # fmt: skip
    repeats = ceil_divide(op.ofm.shape[2], op.block[2]) if whole_depth else 1
    height = repeats * sum(sum(part) for part in rows)
    size = height * sum(sum(part) for part in columns) * fm.shape[2] * fm.element_bytes
    beats = height * sum(_row_beats(fm, part, beat_bytes) for parts in columns for part in parts)
    return Transfer("ifm", fm.region, False, size, beats)


def _row_beats(fm: FeatureMap, columns: int, beat_bytes: int) -> int:
    """Beats for so many neighbouring positions; NHWC rows without gaps are packed."""
    if _is_packed(fm):
        return ceil_divide(columns * fm.stride_x, beat_bytes)
    return columns * _beats_per_position(fm, fm.shape[2], beat_bytes)


def _is_packed(fm: FeatureMap) -> bool:
    return fm.layout is Layout.NHWC and fm.stride_x == fm.shape[2] * fm.element_bytes


def _subkernels(dilated: int) -> list[tuple[int, int]]:
    """First tap and number of taps of each piece of one side of a kernel."""
    return [
        (first, min(dilated - first, SUBKERNEL_TAPS)) for first in range(0, dilated, SUBKERNEL_TAPS)
    ]


def _fetched(
    output: int, block: int, stride: int, dilated: int, pad: int, extent: int, upscale: int
) -> list[int]:
    """Rows (or columns) fetched for each block, halos included, clipped to the input."""
    counts = []
    for start in range(0, output, block):
        last = min(start + block, output) - 1
        first_row = max(start * stride - pad, 0) // upscale
        last_row = min((last * stride - pad + dilated - 1) // upscale, extent - 1)
        counts.append(max(last_row - first_row + 1, 0))
    return counts

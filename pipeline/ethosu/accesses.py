"""Which bytes each operation reads and writes, as runs per region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .memory import feature_map_parts
from .npu import LUT_SLOT_BYTES, Npu
from .operations import (
    Activation,
    BlockOperation,
    ByteRange,
    Convolution,
    Dma,
    Elementwise,
    FeatureMap,
    Operation,
)

SHRAM = -1


@dataclass(frozen=True)
class Access:
    """Byte runs of one region; `runs` are non-overlapping [start, end)."""

    region: int
    runs: tuple[tuple[int, int], ...]


def inputs_of(op: BlockOperation) -> list[tuple[str, FeatureMap]]:
    """Its feature maps in memory, with a name for messages."""
    inputs = [("input", op.ifm)]
    if isinstance(op, Elementwise) and op.ifm2 is not None:
        inputs.append(("second input", op.ifm2))
    return inputs


def reads_of(op: Operation, accelerator: Npu) -> Iterator[tuple[str, Access]]:
    """Everything it reads: feature maps, weights, scales, tables or the source of a copy."""
    if isinstance(op, Dma):
        yield "source", range_access(op.source)
        return
    assert isinstance(op, BlockOperation)
    for name, fm in inputs_of(op):
        yield name, access_of(fm)
    if isinstance(op, Convolution):
        yield "weights", range_access(op.weights)
        yield "scales", range_access(op.scales)
    if op.output.activation is Activation.TABLE_0:
        size = 2048 if op.ofm.element_bytes == 2 else 256 * op.ofm.element_bytes
        start = accelerator.lut_address + LUT_SLOT_BYTES * op.output.table
        yield "lookup table", Access(SHRAM, ((start, start + size),))


def writes_of(op: Operation, accelerator: Npu) -> Iterator[tuple[str, Access]]:
    """Everything it writes, with a name for messages."""
    if isinstance(op, Dma):
        yield "destination", range_access(op.destination)
        return
    assert isinstance(op, BlockOperation)
    yield "output", access_of(op.ofm)


def range_access(place: ByteRange) -> Access:
    """A run of bytes in a region or in SHRAM."""
    region = SHRAM if place.internal else place.region
    return Access(region, ((place.address, place.address + place.length),))


def access_of(fm: FeatureMap) -> Access:
    """Exact byte runs of a feature map, merged where rows or positions are contiguous."""
    runs: list[tuple[int, int]] = []
    for part in feature_map_parts(fm):
        starts = np.array([part.offset])
        for count, stride in zip(part.shape[:3], part.strides[:3], strict=True):
            starts = (starts[:, None] + np.arange(count) * stride).reshape(-1)
        starts.sort()
        length = part.shape[3] * fm.element_bytes
        breaks = np.flatnonzero(np.diff(starts) > length)
        firsts = starts[np.concatenate(([0], breaks + 1))]
        lasts = starts[np.concatenate((breaks, [len(starts) - 1]))]
        runs += [(int(a), int(b) + length) for a, b in zip(firsts, lasts, strict=True)]
    return Access(fm.region, tuple(sorted(runs)))


def overlap(a: Access, b: Access) -> bool:
    """Whether both touch a byte."""
    if a.region != b.region or not a.runs or not b.runs:
        return False
    starts = np.array([run[0] for run in b.runs])
    ends = np.array([run[1] for run in b.runs])
    for start, end in a.runs:
        at = int(np.searchsorted(ends, start, side="right"))
        if at < len(starts) and starts[at] < end:
            return True
    return False


def inside(addresses: NDArray[np.int64], runs: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    """Which of the byte addresses, shape [N], lie in one of the sorted runs: shape [N]."""
    starts = np.array([run[0] for run in runs])
    ends = np.array([run[1] for run in runs])
    at = np.searchsorted(ends, addresses, side="right")
    result: NDArray[np.bool_] = (at < len(starts)) & (
        starts[np.minimum(at, len(starts) - 1)] <= addresses
    )
    return result

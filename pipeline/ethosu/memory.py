"""Byte-addressed NPU memory and typed views of feature maps in it.

A feature map is addressed by tile bases and strides (Vela `register_command_stream_util.py`,
`get_address`): NHWC stores each position's channels side by side; NHCWB16 stores bricks of 16
channels, `stride_c` bytes apart, whose positions are 16 elements apart whatever `stride_x` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import AddressError, StreamError
from .operations import ByteRange, FeatureMap, Layout, Operation

BRICK_CHANNELS = 16
_MAX_REUSE = 4  # tiles may repeat border rows and columns
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class FeatureMapPart:
    """Elements of a feature map that one strided view covers.

    `rows`, `columns`, `channels` locate the part in the (height, width, depth) tensor; the strided
    view of `shape` = (rows, columns, bricks, channels per brick) starts at `offset` bytes.
    """

    rows: slice
    columns: slice
    channels: slice
    offset: int
    shape: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """Lowest and highest start address of an element."""
        reach = [(n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)]
        below, above = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
        return self.offset + below, self.offset + above


def feature_map_parts(fm: FeatureMap) -> list[FeatureMapPart]:
    """Splits a feature map into strided parts: tiles, and for NHCWB16 full bricks and remainder."""
    height, width, _ = fm.shape
    left, right = slice(0, min(width, fm.width0)), slice(fm.width0, width)
    tiles = (
        (slice(0, min(height, fm.height0)), left),
        (slice(0, min(height, fm.height1)), right),
        (slice(fm.height0, height), left),
        (slice(fm.height1, height), right),
    )
    return [
        part
        for base, (rows, columns) in zip(fm.bases, tiles, strict=True)
        if rows.start < rows.stop and columns.start < columns.stop
        for part in _tile_parts(fm, base, rows, columns)
    ]


def _tile_parts(fm: FeatureMap, base: int, rows: slice, columns: slice) -> list[FeatureMapPart]:
    depth, size = fm.shape[2], fm.element_bytes
    extent = rows.stop - rows.start, columns.stop - columns.start
    if fm.layout is Layout.NHWC:
        strides = (fm.stride_y, fm.stride_x, 0, size)
        return [FeatureMapPart(rows, columns, slice(0, depth), base, (*extent, 1, depth), strides)]
    strides = (fm.stride_y, BRICK_CHANNELS * size, fm.stride_c, size)
    full, rest = divmod(depth, BRICK_CHANNELS)
    parts = []
    if full:
        shape, channels = (*extent, full, BRICK_CHANNELS), slice(0, full * BRICK_CHANNELS)
        parts.append(FeatureMapPart(rows, columns, channels, base, shape, strides))
    if rest:
        offset, channels = base + full * fm.stride_c, slice(full * BRICK_CHANNELS, depth)
        parts.append(FeatureMapPart(rows, columns, channels, offset, (*extent, 1, rest), strides))
    return parts


class FeatureMapView:
    """Reads and writes one feature map in a byte buffer as an array of (height, width, depth)."""

    def __init__(self, fm: FeatureMap, buffer: Bytes) -> None:
        self.shape = fm.shape
        self.dtype = np.dtype(fm.dtype)
        parts = feature_map_parts(fm)
        self._parts = [(part, _strided(buffer, self.dtype, part)) for part in parts]

    def read(self) -> NDArray[Any]:
        """Current contents, shape (height, width, depth); may alias memory, so do not modify."""
        if len(self._parts) == 1:
            return self._parts[0][1].reshape(self.shape)
        values = np.empty(self.shape, self.dtype)
        for part, view in self._parts:
            target = values[part.rows, part.columns, part.channels]
            target[...] = view.reshape(target.shape)
        return values

    def write(self, values: NDArray[Any]) -> None:
        """Stores values of shape (height, width, depth), already in the element type's range."""
        for part, view in self._parts:
            source = values[part.rows, part.columns, part.channels]
            view[...] = source.reshape(view.shape)


def _strided(buffer: Bytes, dtype: np.dtype[Any], part: FeatureMapPart) -> NDArray[Any]:
    return np.ndarray(part.shape, dtype, buffer.data, part.offset, part.strides)


class RegionMemory:
    """The memory one job sees: numbered regions plus the NPU's internal SHRAM, bounds-checked."""

    def __init__(self, regions: Mapping[int, Bytes], shram_bytes: int) -> None:
        self.regions = dict(regions)
        self.shram = np.zeros(shram_bytes, np.uint8)

    def buffer(self, region: int, operation: Operation) -> Bytes:
        """The whole region.

        Raises:
            AddressError: the job has no such region.
        """
        if region not in self.regions:
            raise AddressError(
                f"region {region}, which this model does not have", 0, 0, 0,
                operation.command_index, operation.command,
            )  # fmt: skip
        return self.regions[region]

    def bytes(self, place: ByteRange, operation: Operation) -> Bytes:
        """A view of `place`.

        Raises:
            AddressError: `place` reaches outside its region or SHRAM.
        """
        buffer = self.shram if place.internal else self.buffer(place.region, operation)
        name = "SHRAM" if place.internal else f"region {place.region}"
        end = place.address + place.length
        _check(name, place.address, end, buffer, operation)
        return buffer[place.address : end]

    def feature_map(self, fm: FeatureMap, operation: Operation) -> FeatureMapView:
        """A checked view of `fm`.

        Raises:
            AddressError: some element of it lies outside its region.
        """
        buffer = self.buffer(fm.region, operation)
        if math.prod(fm.shape) > _MAX_REUSE * max(len(buffer), 1):
            raise StreamError(
                f"feature map {fm.shape} has far more elements than region {fm.region} has bytes",
                operation.command_index,
                operation.command,
            )
        for part in feature_map_parts(fm):
            start, last = part.extent
            _check(f"region {fm.region}", start, last + fm.element_bytes, buffer, operation)
        return FeatureMapView(fm, buffer)


def _check(name: str, start: int, end: int, buffer: Bytes, operation: Operation) -> None:
    if start < 0 or end > len(buffer):
        raise AddressError(
            name, start, end, len(buffer), operation.command_index, operation.command
        )

"""The NPU's output stage: zero point, clamp, lookup table, and the write to the OFM."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Integers
from .errors import StreamError
from .memory import RegionMemory
from .npu import LUT_SLOT_BYTES, Npu
from .operations import Activation, BlockOperation, ByteRange
from .sigmoid import sigmoid_int16, tanh_int16

_TABLE_ENTRIES_INT16 = 512
_INTERPOLATION_BITS = 7


class OutputStage:
    """Takes scaled results without zero point, shape (height, width, depth), and stores the OFM."""

    def __init__(self, op: BlockOperation, memory: RegionMemory, accelerator: Npu) -> None:
        output = op.output
        self._ofm = memory.feature_map(op.ofm, op)
        self._zero_point = op.ofm.zero_point
        limits = np.iinfo(op.ofm.dtype)
        self._minimum, self._maximum = output.minimum, output.maximum
        if op.ofm.element_bytes == 4 and output.activation is Activation.CLAMP:
            # The 16-bit clamp registers cannot bound 32-bit results.
            self._minimum, self._maximum = int(limits.min), int(limits.max)
        if self._minimum > self._maximum:
            raise StreamError(
                f"activation minimum {self._minimum} exceeds maximum {self._maximum}",
                op.command_index,
                op.command,
            )
        self._minimum = max(self._minimum, int(limits.min))
        self._maximum = min(self._maximum, int(limits.max))
        self._table: NDArray[Any] | None = None
        self._table_offset = 0
        if output.activation is Activation.TABLE_0:
            self._bind_table(op, memory, accelerator)
        self._function = {Activation.TANH: tanh_int16, Activation.SIGMOID: sigmoid_int16}.get(
            output.activation
        )
        if self._function is not None and op.ofm.dtype != "<i2":
            raise StreamError(
                f"{output.activation.name} needs int16 output, got {op.ofm.dtype}",
                op.command_index,
                op.command,
            )

    def _bind_table(self, op: BlockOperation, memory: RegionMemory, accelerator: Npu) -> None:
        index_dtype = np.dtype(op.output.clip_dtype or op.ofm.dtype)
        entry_dtype = np.dtype("<u4") if index_dtype.itemsize == 2 else np.dtype(op.ofm.dtype)
        entries = _TABLE_ENTRIES_INT16 if index_dtype.itemsize == 2 else 256
        address = accelerator.lut_address + op.output.table * LUT_SLOT_BYTES
        place = ByteRange(0, address, entries * entry_dtype.itemsize, internal=True)
        self._table = memory.bytes(place, op).view(entry_dtype)
        index_limits = np.iinfo(index_dtype)
        self._interpolated = index_dtype.itemsize == 2
        self._table_offset = -int(index_limits.min)
        self._minimum = max(self._minimum, int(index_limits.min))
        self._maximum = min(self._maximum, int(index_limits.max))

    def store(self, values: Integers) -> None:
        """Applies the function, adds the zero point, clamps, looks up and writes."""
        if self._function is not None:
            values = self._function(values)
        if self._zero_point:
            values = values + self._zero_point
        values = np.maximum(np.minimum(values, self._maximum), self._minimum)
        if self._table is not None:
            index = values + self._table_offset
            values = self._interpolate(index) if self._interpolated else self._table[index]
        self._ofm.write(values)

    def _interpolate(self, index: Integers) -> Integers:
        """16-bit tables: 512 entries of base (low half) and slope (high half) over 128 steps."""
        assert self._table is not None
        entry = self._table[index >> _INTERPOLATION_BITS].astype(np.int64)
        base = (entry & 0xFFFF ^ 0x8000) - 0x8000
        slope = (entry >> 16 ^ 0x8000) - 0x8000
        fraction = index & (1 << _INTERPOLATION_BITS) - 1
        result = base + (slope * fraction + 64 >> _INTERPOLATION_BITS)
        return np.clip(result, self._minimum, self._maximum)

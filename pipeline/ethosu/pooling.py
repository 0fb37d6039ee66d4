"""Maximum and average pooling, and the sum over channels; with a 1 x 1 kernel also plain copies."""

from __future__ import annotations

import numpy as np

from .arithmetic import Integers, make_rescale
from .errors import StreamError
from .memory import RegionMemory
from .npu import Npu
from .operations import Kernel, Pooling, PoolMode
from .output_stage import OutputStage
from .windows import WindowReader, zero_point_magnitude

_MAX_PADDED_AVERAGE_KERNEL = 8


class PoolingStep:
    """One NPU_OP_POOL: maximum, average, or sum over channels."""

    def __init__(self, op: Pooling, memory: RegionMemory, accelerator: Npu) -> None:
        self._op = op
        self._reader = WindowReader(op, memory, np.int64)
        self._output = OutputStage(op, memory, accelerator)
        self._counts: Integers | None = None
        self._pointwise = op.kernel == Kernel(height=1, width=1)
        output = op.output
        self._rescale = make_rescale(1, 0, output.rounding, 1)
        if op.mode is PoolMode.AVERAGE and (op.kernel.padded or output.scale is None):
            # Padded averages are divided by the taps inside the input, not scaled (TRM 4-124).
            self._counts = self._valid_taps(op)
        elif op.mode is not PoolMode.MAX and output.scale is not None:
            taps = op.kernel.height * op.kernel.width * op.ifm.shape[2]
            largest = taps * zero_point_magnitude(op.ifm.dtype, op.ifm.zero_point)
            self._rescale = make_rescale(output.scale, output.shift, output.rounding, largest)

    def _valid_taps(self, op: Pooling) -> Integers:
        """How many taps of each window lie inside the input; without padding all do."""
        kernel = op.kernel
        if max(kernel.height, kernel.width) > _MAX_PADDED_AVERAGE_KERNEL:
            raise StreamError(
                f"padded average pooling over {kernel.height} x {kernel.width}, expected at most "
                f"{_MAX_PADDED_AVERAGE_KERNEL} x {_MAX_PADDED_AVERAGE_KERNEL}",
                op.command_index,
                op.command,
            )
        ones = np.ones((self._reader.height, self._reader.width, 1), np.int64)
        counts: Integers = self._reader.windows(ones).sum(axis=(3, 4))
        if not counts.all():
            raise StreamError("a window lies in padding only", op.command_index, op.command)
        return counts

    def __call__(self) -> None:
        values = self._reader.read()
        mode = self._op.mode
        if mode is PoolMode.REDUCE_SUM:
            result = self._rescale(values.sum(axis=2, keepdims=True))
        elif mode is PoolMode.MAX:
            lowest = int(np.iinfo(np.int32).min)
            result = self._reader.windows(values, lowest).max(axis=(3, 4))
        else:
            sums = values if self._pointwise else self._reader.windows(values).sum(axis=(3, 4))
            result = self._rescale(sums) if self._counts is None else self._divide(sums)
        self._output.store(result)

    def _divide(self, sums: Integers) -> Integers:
        """Division by the number of valid taps, nearest, ties away from zero."""
        assert self._counts is not None
        magnitude = (np.abs(sums) + self._counts // 2) // self._counts
        return np.sign(sums) * magnitude

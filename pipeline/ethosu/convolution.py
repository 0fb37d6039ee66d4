"""Convolution, depthwise convolution and fully connected operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Integers, Rescale, make_rescale
from .errors import StreamError, WeightDecoderError
from .memory import RegionMemory
from .npu import Npu
from .operations import Convolution, Upscale
from .output_stage import OutputStage
from .weights import WeightGeometry, WeightStreamError, decode_scales, decode_weights
from .windows import WindowReader, zero_point_magnitude

_FLOAT32_EXACT = 1 << 24
_FLOAT64_EXACT = 1 << 53


class ConvolutionStep:
    """One NPU_OP_CONV or NPU_OP_DEPTHWISE, also fully connected; weights are decoded once."""

    def __init__(self, op: Convolution, memory: RegionMemory, accelerator: Npu) -> None:
        self._op = op
        self._reader = WindowReader(op, memory, np.float64)
        self._output = OutputStage(op, memory, accelerator)
        self._weight_bytes = memory.bytes(op.weights, op)
        self._scale_bytes = memory.bytes(op.scales, op)
        self._decoded_from: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
        kernel = op.kernel
        self._geometry = WeightGeometry(
            ofm_depth=op.ofm.shape[2],
            kernel_height=kernel.height,
            kernel_width=kernel.width,
            ifm_depth=op.ifm.shape[2],
            ofm_block_depth=op.block[2],
            ofm_ublock_depth=accelerator.ofm_ublock[2],
            ifm_ublock_depth=accelerator.ifm_ublock_depth,
            dilation_y=kernel.dilation_y,
            dilation_x=kernel.dilation_x,
            ifm_bits=8 * op.ifm.element_bytes,
            depthwise=op.depthwise,
            part_kernel_first=op.part_kernel_first,
        )
        self._weights: NDArray[Any]
        self._bias: Integers
        self._rescale: Rescale
        self._matrix_vector = (
            not op.depthwise and op.upscale is Upscale.NONE and not kernel.padded
            and op.ofm.shape[:2] == (1, 1) and kernel.height == kernel.width == 1
        )  # fmt: skip

    def __call__(self) -> None:
        self._refresh_weights()
        if self._matrix_vector:
            accumulators = self._weights @ self._reader.read().reshape(-1)
            accumulators = accumulators.reshape(1, 1, -1)
        elif self._op.depthwise:
            windows = self._reader.windows(self._reader.read())
            accumulators = np.einsum("yxckl,ckl->yxc", windows, self._weights)
        else:
            windows = self._reader.windows(self._reader.read()).transpose(0, 1, 3, 4, 2)
            height, width = windows.shape[:2]
            columns = windows.reshape(height * width, -1)
            accumulators = (columns @ self._weights.T).reshape(height, width, -1)
        self._output.store(self._rescale(accumulators.astype(np.int64) + self._bias))

    def _refresh_weights(self) -> None:
        """Decodes again only if the stream's bytes changed since the last run."""
        if self._decoded_from is not None:
            old_weights, old_scales = self._decoded_from
            if np.array_equal(old_weights, self._weight_bytes) and np.array_equal(
                old_scales, self._scale_bytes
            ):
                return
        op = self._op
        try:
            weights = decode_weights(self._weight_bytes, self._geometry)
            records = decode_scales(self._scale_bytes, op.ofm.shape[2])
        except WeightStreamError as error:
            raise WeightDecoderError(str(error), op.command_index, op.command) from error
        per_output = np.abs(weights.reshape(len(weights), -1)).sum(axis=1, dtype=np.int64)
        largest_sums = per_output * zero_point_magnitude(op.ifm.dtype, op.ifm.zero_point)
        largest_sum = int(largest_sums.max())
        largest = largest_sums + np.abs(records.bias)
        if largest.max() >= 1 << op.accumulator_bits - 1 and largest_sum >= _FLOAT64_EXACT:
            raise StreamError("accumulators could overflow", op.command_index, op.command)
        dtype = np.float32 if largest_sum < _FLOAT32_EXACT else np.float64
        self._reader.dtype = dtype
        if op.depthwise:
            self._weights = weights[..., 0].astype(dtype)
        else:
            self._weights = weights.reshape(len(weights), -1).astype(dtype)
        self._bias = records.bias
        if op.output.scale is None:
            scale, shift = records.scale, records.shift
        else:
            scale, shift = np.array(op.output.scale), np.array(op.output.shift)
        self._rescale = make_rescale(scale, shift, op.output.rounding, largest)
        self._decoded_from = (self._weight_bytes.copy(), self._scale_bytes.copy())

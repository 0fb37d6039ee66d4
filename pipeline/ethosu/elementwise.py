"""Elementwise operations: arithmetic on one or two feature maps, or a feature map and a scalar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arithmetic import Integers, Rescale, divide_by_power_of_two, divide_ties_up, make_rescale
from .errors import StreamError
from .memory import RegionMemory
from .npu import Npu
from .operations import Elementwise, ElementwiseMode, OperandScale, Rounding
from .output_stage import OutputStage
from .windows import zero_point_magnitude

_INPUT_SHIFT = {1: 20, 2: 15}
"""How far ADD and SUB shift operands up before one is scaled, by element bytes (TFLite ADD)."""


class ElementwiseStep:
    """One NPU_OP_ELEMENTWISE."""

    def __init__(self, op: Elementwise, memory: RegionMemory, accelerator: Npu) -> None:
        self._op = op
        self._output = OutputStage(op, memory, accelerator)
        self._ifm = memory.feature_map(op.ifm, op)
        self._ifm2 = None if op.ifm2 is None else memory.feature_map(op.ifm2, op)
        self._scalar = (
            None if op.scalar is None else np.array(op.scalar - op.ifm2_zero_point, np.int64)
        )
        self._function = self._make_function()

    def __call__(self) -> None:
        op = self._op
        first: Integers = self._ifm.read().astype(np.int64)
        first -= op.ifm.zero_point
        if self._ifm2 is not None:
            second = self._ifm2.read().astype(np.int64) - op.ifm2_zero_point
        else:
            second = first if self._scalar is None else self._scalar
        if op.reversed_operands:
            first, second = second, first
        self._output.store(np.broadcast_to(self._function(first, second), op.ofm.shape))

    def _error(self, message: str) -> StreamError:
        return StreamError(message, self._op.command_index, self._op.command)

    def _make_function(self) -> Callable[[Integers, Integers], Integers]:
        op, mode = self._op, self._op.mode
        largest = zero_point_magnitude(op.ifm.dtype, op.ifm.zero_point)
        if op.ifm2 is not None:
            largest = max(largest, zero_point_magnitude(op.ifm2.dtype, op.ifm2.zero_point))
        elif self._scalar is not None:
            largest = max(largest, abs(int(self._scalar)))
        if mode is ElementwiseMode.MUL:
            rescale = self._mul_rescale(largest * largest)
            return lambda a, b: rescale(a * b)
        if mode in (ElementwiseMode.ADD, ElementwiseMode.SUB):
            return self._make_add(largest, 1 if mode is ElementwiseMode.ADD else -1)
        if mode is ElementwiseMode.LRELU:
            rescale = self._ofm_rescale(largest)
            return lambda a, _: np.where(a < 0, rescale(a), a)
        if mode is ElementwiseMode.ABS:
            rescale = self._ofm_rescale(largest)
            return lambda a, _: rescale(np.abs(a))
        if mode is ElementwiseMode.MIN:
            return np.minimum
        if mode is ElementwiseMode.MAX:
            return np.maximum
        return self._make_bitwise(mode)

    def _ofm_rescale(self, largest: int) -> Rescale:
        output = self._op.output
        if output.scale is None:
            raise self._error(f"{self._op.mode.name} needs the global output scale")
        return make_rescale(output.scale, output.shift, output.rounding, largest)

    def _mul_rescale(self, largest: int) -> Rescale:
        output = self._op.output
        if self._op.ifm.element_bytes == 4 and output.scale is not None:
            # Products of 32-bit operands are only shifted; the scale is already part of an operand.
            return make_rescale(1, output.shift, output.rounding, largest)
        return self._ofm_rescale(largest)

    def _make_add(self, largest: int, sign: int) -> Callable[[Integers, Integers], Integers]:
        op = self._op
        if op.operand_scale is OperandScale.BOTH_16:
            return self._make_add_both(largest, sign)
        size = op.ifm.element_bytes
        if size not in _INPUT_SHIFT:
            raise self._error("32-bit operands cannot be scaled one by one")
        shift_up = _INPUT_SHIFT[size]
        # TFLite rounds after 31 fractional bits of the operand already shifted up.
        scale_operand = make_rescale(
            op.opa_scale, op.opa_shift, op.ifm_rounding, largest, 31 - shift_up
        )
        sum_bound = largest << shift_up + 1
        rescale = self._ofm_rescale(sum_bound)
        if op.operand_scale is OperandScale.A_32:
            return lambda a, b: rescale(scale_operand(a) + sign * (b << shift_up - 1))
        return lambda a, b: rescale((a << shift_up - 1) + sign * scale_operand(b))

    def _make_add_both(self, largest: int, sign: int) -> Callable[[Integers, Integers], Integers]:
        op, output = self._op, self._op.output
        scale_a, scale_b = op.opa_scale & 0xFFFF, op.opb_scale & 0xFFFF
        if op.reversed_operands:
            scale_a, scale_b = scale_b, scale_a
        if output.rounding is Rounding.DOUBLE and op.ifm.element_bytes == 1 and output.scale:
            # 8-bit operands are scaled without the first of the two roundings.
            scale, shift = output.scale, output.shift
            return lambda a, b: divide_by_power_of_two(
                (a * scale_a + sign * b * scale_b) * scale, shift
            )
        rescale = self._ofm_rescale(largest * (scale_a + scale_b))
        return lambda a, b: rescale(a * scale_a + sign * b * scale_b)

    def _make_bitwise(self, mode: ElementwiseMode) -> Callable[[Integers, Integers], Integers]:
        if self._op.ifm.element_bytes != 4:
            raise self._error(f"{mode.name} takes 32-bit input")
        if mode is ElementwiseMode.CLZ:
            return lambda a, _: _count_leading_zeros(a)
        if mode is ElementwiseMode.SHL:
            return lambda a, b: _wrap_int32(a << np.clip(b, 0, 31))
        if self._op.output.rounding is Rounding.NATURAL:
            return lambda a, b: divide_ties_up(a, np.clip(b, 0, 31))
        if self._op.output.rounding is Rounding.DOUBLE:
            return lambda a, b: divide_by_power_of_two(a, np.clip(b, 0, 31))
        return lambda a, b: a >> np.clip(b, 0, 31)


def _count_leading_zeros(values: Integers) -> Integers:
    """Of the 32-bit two's complement pattern."""
    _, bit_length = np.frexp((values & 0xFFFFFFFF).astype(np.float64))
    return 32 - bit_length.astype(np.int64)


def _wrap_int32(values: Integers) -> Integers:
    return (values & 0xFFFFFFFF ^ 0x80000000) - 0x80000000

"""Runs a program on byte-addressed memory, operation by operation in stream order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .convolution import ConvolutionStep
from .cost import operation_macs
from .elementwise import ElementwiseStep
from .errors import StreamError
from .memory import RegionMemory
from .npu import Npu
from .operations import Convolution, Dma, Elementwise, Operation, Pooling
from .pooling import PoolingStep

_MAX_MACS = 1 << 34  # far beyond any layer of a network this NPU runs


class DmaStep:
    """One NPU_OP_DMA_START: copies bytes between regions, or into SHRAM."""

    def __init__(self, op: Dma, memory: RegionMemory) -> None:
        self._source = memory.bytes(op.source, op)
        self._destination = memory.bytes(op.destination, op)

    def __call__(self) -> None:
        self._destination[...] = self._source


class Executor:
    """A program bound to memory: addresses are checked and views built once, then run many times.

    Raises:
        AddressError: an operation reaches outside its region.
        StreamError: an operation asks for something the NPU cannot do.
    """

    def __init__(
        self, operations: Sequence[Operation], memory: RegionMemory, accelerator: Npu
    ) -> None:
        self._steps = [_make_step(op, memory, accelerator) for op in operations]

    def run(self) -> None:
        """Executes every operation; results are left in memory."""
        for step in self._steps:
            step()


def _make_step(op: Operation, memory: RegionMemory, accelerator: Npu) -> Callable[[], None]:
    if operation_macs(op) > _MAX_MACS:
        raise StreamError(
            f"{operation_macs(op)} multiply-accumulates, expected at most {_MAX_MACS}",
            op.command_index,
            op.command,
        )
    if isinstance(op, Convolution):
        return ConvolutionStep(op, memory, accelerator)
    if isinstance(op, Pooling):
        return PoolingStep(op, memory, accelerator)
    if isinstance(op, Elementwise):
        return ElementwiseStep(op, memory, accelerator)
    if isinstance(op, Dma):
        return DmaStep(op, memory)
    raise TypeError(f"no emulation of {type(op).__name__}")

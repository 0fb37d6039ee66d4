"""Readable listings of a command stream: one line per command, one per operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .operations import (
    Activation,
    BlockOperation,
    ByteRange,
    Convolution,
    Dma,
    Elementwise,
    FeatureMap,
    Kernel,
    Operation,
    Output,
    Pooling,
    Upscale,
)
from .stream import Command


def list_program(commands: Iterable[Command], operations: Sequence[Operation]) -> Iterator[str]:
    """Commands grouped under the operation they set up, each group headed by that operation."""
    pending: list[Command] = []
    by_index = {op.command_index: (number, op) for number, op in enumerate(operations)}
    for command in commands:
        pending.append(command)
        if command.index in by_index:
            number, op = by_index[command.index]
            yield f"# {number} {describe(op)}"
            yield from (str(item) for item in pending)
            pending = []
    yield from (str(item) for item in pending)


def describe(op: Operation) -> str:
    """One line: what the operation computes, on which shapes, formats, addresses and scales."""
    waits = "".join(
        f" after {name}<={count}"
        for name, count in (("kernels", op.kernel_wait), ("dmas", op.dma_wait))
        if count is not None
    )
    if isinstance(op, Dma):
        return f"DMA {_place(op.source)} -> {_place(op.destination)}{waits}"
    assert isinstance(op, BlockOperation)
    parts = [operation_name(op), f"{_feature_map(op.ifm)}"]
    if isinstance(op, Elementwise) and op.ifm2 is not None:
        parts.append(f"with {_feature_map(op.ifm2)}")
    if isinstance(op, Elementwise) and op.scalar is not None:
        parts.append(f"with scalar {op.scalar} (zero point {op.ifm2_zero_point})")
    parts.append(f"-> {_feature_map(op.ofm)}")
    if isinstance(op, Convolution | Pooling):
        parts.append(_kernel(op.kernel))
    if isinstance(op, Convolution):
        order = "part-kernel" if op.part_kernel_first else "depth"
        parts.append(f"weights {_place(op.weights)} {order}-first, scales {_place(op.scales)}")
    if isinstance(op, Elementwise) and op.mode.name in ("ADD", "SUB"):
        reverse = " reversed" if op.reversed_operands else ""
        parts.append(
            f"operands {op.operand_scale.name}{reverse} "
            f"a*{op.opa_scale}>>{op.opa_shift} b*{op.opb_scale}"
        )
    if op.upscale is not Upscale.NONE:
        parts.append(f"upscaled by {op.upscale.name}")
    parts.append(_output(op.output))
    block = "x".join(map(str, op.block))
    parts.append(f"block {block} blockdep {op.blockdep} acc{op.accumulator_bits}")
    return " ".join(parts) + waits


def operation_name(op: Operation) -> str:
    """Short name, e.g. "DEPTHWISE", "POOL AVERAGE", "ELEMENTWISE ADD"."""
    if isinstance(op, Pooling | Elementwise):
        return f"{op.command.removeprefix('NPU_OP_')} {op.mode.name}"
    return op.command.removeprefix("NPU_OP_").removesuffix("_START")


def _place(place: ByteRange) -> str:
    name = "shram" if place.internal else f"r{place.region}"
    return f"{name}[{place.address:#x}+{place.length:#x}]"


def _feature_map(fm: FeatureMap) -> str:
    shape = "x".join(map(str, fm.shape))
    tiled = fm.height0 < fm.shape[0] or fm.width0 < fm.shape[1]
    bases = ",".join(f"{base:#x}" for base in (fm.bases if tiled else fm.bases[:1]))
    tiles = f" tiles {fm.height0}/{fm.height1}/{fm.width0}" if tiled else ""
    kind = fm.dtype[1:].replace("i", "int").replace("u", "uint")
    bits = kind[:-1] + str(8 * fm.element_bytes)
    return (
        f"{shape} {bits} {fm.layout.value} r{fm.region}[{bases}] "
        f"stride {fm.stride_y}/{fm.stride_x}/{fm.stride_c}{tiles} zp {fm.zero_point}"
    )


def _kernel(kernel: Kernel) -> str:
    pads = (kernel.pad_top, kernel.pad_left, kernel.pad_bottom, kernel.pad_right)
    return (
        f"kernel {kernel.height}x{kernel.width} stride {kernel.stride_y}x{kernel.stride_x} "
        f"dilation {kernel.dilation_y}x{kernel.dilation_x} pad {','.join(map(str, pads))}"
    )


def _output(output: Output) -> str:
    scale = "per-channel" if output.scale is None else f"*{output.scale}>>{output.shift}"
    function = output.activation.name.lower()
    if output.activation is Activation.TABLE_0:
        function = f"table {output.table}"
    return (
        f"scale {scale} {output.rounding.name.lower()} {function} "
        f"[{output.minimum},{output.maximum}]"
    )

"""Cycles of the MAC array, weight decoder and output stage, block by block.

Follows the block model of Vela's `ethos_u55_performance.cpp` / `npu_performance.py` (Apache-2.0,
Arm), with the weight decoder kept apart from the MAC array so that either can be the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .memory_system import MemorySystem
from .npu import SUBKERNEL_TAPS, Npu, ceil_divide
from .operations import (
    Activation,
    BlockOperation,
    Convolution,
    Elementwise,
    ElementwiseMode,
    Layout,
    Pooling,
    PoolMode,
    Upscale,
)
from .weights import SCALE_RECORD_BYTES

_WEIGHTS_DECODED_PER_CYCLE = 8
_CYCLES_PER_UBLOCK_STEP = 4
_BLOCKS_IN_FLIGHT = 4
_SCALE_BURST_BYTES = 256


@dataclass(frozen=True)
class ComputeCycles:
    """Cycles of one whole operation per unit, and `total` with the units overlapping."""

    mac: int
    weight_decode: int
    output: int
    total: int


@dataclass(frozen=True)
class _BlockGeometry:
    """OFM block clipped to the feature map, in elements and micro-blocks."""

    block: tuple[int, int, int]
    ublocks_in_plane: int
    ublocks_in_depth: int
    blocks: float


def compute_cycles(op: BlockOperation, accelerator: Npu, system: MemorySystem) -> ComputeCycles:
    """Cycles an operation needs if memory never makes it wait longer than its latency."""
    if isinstance(op, Elementwise):
        return _elementwise_cycles(op, accelerator, system)
    assert isinstance(op, Convolution | Pooling)
    geometry = _geometry(op, accelerator)
    mac, decode, array = _block_array_cycles(op, accelerator, geometry)
    elements = math.prod(geometry.block)
    output = float(math.ceil(_output_cycles_per_element(op, accelerator) * elements))
    if isinstance(op, Convolution):
        records = SCALE_RECORD_BYTES * geometry.block[2] / _SCALE_BURST_BYTES
        output = max(output, records * system.memory(op.scales.region).read_latency_cycles)
    # Array and output stage work side by side; the first block fills the pipeline, and a depthwise
    # operation starts its output only when a block is complete.
    fill = _block_latency(op, geometry.block, system) + (array + output) / _BLOCKS_IN_FLIGHT
    if isinstance(op, Convolution) and op.depthwise:
        fill += min(array, output)
    return ComputeCycles(
        mac=int(mac * geometry.blocks),
        weight_decode=int(decode * geometry.blocks),
        output=int(output * geometry.blocks),
        total=int(max(array, output) * geometry.blocks + fill),
    )


def _geometry(op: Convolution | Pooling, accelerator: Npu) -> _BlockGeometry:
    height, width, depth = op.ofm.shape
    block = (min(height, op.block[0]), min(width, op.block[1]), min(depth, op.block[2]))
    ublock = accelerator.ofm_ublock
    if (
        isinstance(op, Convolution) and not op.depthwise and ublock[0] == 2
        and height == 1 and width % 2 == 0 and op.kernel.height == 1
    ):  # fmt: skip
        ublock = (1, 4, ublock[2])
    per_block = [ceil_divide(n, u) for n, u in zip(block, ublock, strict=True)]
    whole = [ceil_divide(n, u) for n, u in zip(op.ofm.shape, ublock, strict=True)]
    return _BlockGeometry(
        block, per_block[0] * per_block[1], per_block[2], math.prod(whole) / math.prod(per_block)
    )


def _block_array_cycles(
    op: Convolution | Pooling, accelerator: Npu, geometry: _BlockGeometry
) -> tuple[int, int, int]:
    """MAC and weight-decode cycles of one block, and those of both, step by step the longer."""
    kernel, bits = op.kernel, 8 * op.ifm.element_bytes
    plane, depth = geometry.ublocks_in_plane, geometry.ublocks_in_depth
    ifm_block = ifm_block_depth(op)
    decode_step = 32 * accelerator.ofm_ublock[2] // _WEIGHTS_DECODED_PER_CYCLE
    mac = decode = array = 0
    vector = isinstance(op, Convolution) and not op.depthwise and _is_vector_product(op)
    limit = 1 if vector else SUBKERNEL_TAPS
    for y in range(0, kernel.height, limit):
        for x in range(0, kernel.width, limit):
            taps = min(kernel.height - y, limit) * min(kernel.width - x, limit)
            steps, step_mac, step_decode, repeats = taps, _CYCLES_PER_UBLOCK_STEP * plane, 0, 1
            if isinstance(op, Pooling) and op.mode is not PoolMode.REDUCE_SUM:
                steps, step_mac = 1, max(_CYCLES_PER_UBLOCK_STEP, taps) * plane
                if accelerator.macs > 32:
                    step_mac *= bits // 2
            elif isinstance(op, Convolution) and op.depthwise:
                steps, step_mac = ceil_divide(taps, 4), step_mac * (bits // 8)
                step_decode = decode_step
            elif isinstance(op, Convolution) and op.part_kernel_first:
                steps, step_decode = ceil_divide(taps, 2 if bits == 16 else 4), decode_step
                repeats = ceil_divide(ifm_block, 8)
            elif isinstance(op, Convolution):
                step_decode = decode_step
            delay = _pipeline_delay(op, accelerator, plane, depth, steps)
            mac += (step_mac * steps * depth + delay) * repeats
            decode += step_decode * steps * depth * repeats
            array += (max(step_mac, step_decode) * steps * depth + delay) * repeats
    if (isinstance(op, Convolution) and op.depthwise) or (
        isinstance(op, Pooling) and op.mode is not PoolMode.REDUCE_SUM
    ):
        return mac, decode, array
    ifm_blocks = ceil_divide(op.ifm.shape[2], ifm_block)
    return mac * ifm_blocks, decode * ifm_blocks, array * ifm_blocks


def _is_vector_product(op: Convolution) -> bool:
    return op.kernel.height == op.kernel.width == 1


def ifm_block_depth(op: BlockOperation) -> int:
    """Input channels the MAC array takes at a time."""
    if op.ifm.element_bytes == 2:
        limit = 16
    elif op.ifm.element_bytes == 4:
        limit = 8
    else:
        limit = 16 if isinstance(op, Convolution) and op.part_kernel_first else 32
    return min(limit, op.ifm.shape[2])


def _pipeline_delay(
    op: BlockOperation, accelerator: Npu, plane: int, depth: int, steps: int
) -> int:
    """Cycles lost where a block is so small that accumulators are not ready in time."""
    wide = op.accumulator_bits == 40
    if accelerator.macs == 32:
        delay = 7 if wide else 3
    else:
        delay = 3 if wide and accelerator.macs <= 128 else 2
    if plane != 1:
        return 0
    return delay * steps if depth == 1 else delay * (steps - 1) * depth


def _output_cycles_per_element(op: BlockOperation, accelerator: Npu) -> float:
    rates = accelerator.output_cycles
    mode = op.mode if isinstance(op, Elementwise) else None
    if mode is not None and op.ifm.element_bytes == 4:
        rate = rates[1] if isinstance(op, Elementwise) and op.ifm2 is not None else rates[0]
    elif mode is ElementwiseMode.MUL:
        rate = rates[2] if op.ofm.element_bytes == 4 else rates[3]
    elif mode in (ElementwiseMode.ADD, ElementwiseMode.SUB):
        rate = rates[5]
    elif mode is None and op.accumulator_bits == 40:
        rate = rates[3]
    elif isinstance(op, Pooling) and op.mode is PoolMode.MAX:
        rate = rates[6]
    else:
        rate = rates[7]
    looks_up = op.output.activation is not Activation.CLAMP
    return max(rate, accelerator.activation_cycles[0]) if looks_up else rate


def _block_latency(op: BlockOperation, block: tuple[int, int, int], system: MemorySystem) -> float:
    """Cycles from asking for a block's input to its output being written, memory alone."""
    source, target = system.memory(op.ifm.region), system.memory(op.ofm.region)
    read = math.prod(_input_block(op, block)) * op.ifm.element_bytes / source.bytes_per_cycle
    written = math.prod(block) * op.ofm.element_bytes / target.bytes_per_cycle
    return source.read_latency_cycles + read + target.write_latency_cycles + written


def _input_block(op: BlockOperation, block: tuple[int, int, int]) -> tuple[int, int, int]:
    """Input elements the array takes for one output block and one sub-kernel."""
    depth = ifm_block_depth(op) if isinstance(op, Convolution) else min(block[2], op.ifm.shape[2])
    if isinstance(op, Elementwise):
        return block[0], block[1], depth
    assert isinstance(op, Convolution | Pooling)
    kernel, factor = op.kernel, 1 if op.upscale is Upscale.NONE else 2
    rows = (op.block[0] - 1) * kernel.stride_y + min(kernel.dilated_height, SUBKERNEL_TAPS)
    columns = (op.block[1] - 1) * kernel.stride_x + min(kernel.dilated_width, SUBKERNEL_TAPS)
    return (
        min(ceil_divide(rows, factor), op.ifm.shape[0]),
        min(ceil_divide(columns, factor), op.ifm.shape[1]),
        depth,
    )


def _elementwise_cycles(op: Elementwise, accelerator: Npu, system: MemorySystem) -> ComputeCycles:
    height, width, depth = op.ofm.shape
    if op.ofm.layout is Layout.NHCWB16:
        depth = ceil_divide(depth, 16) * 16
    elements = height * width * depth
    per_element = _output_cycles_per_element(op, accelerator)
    block = (min(height, op.block[0]), min(width, op.block[1]), min(depth, op.block[2]))
    latency = _block_latency(op, block, system) / math.prod(op.block)
    floor = (latency + per_element) / _BLOCKS_IN_FLIGHT
    output = math.ceil(per_element * elements)
    return ComputeCycles(0, 0, output, max(output, math.ceil(floor * elements)))

"""Checks what may run at the same time: waits between DMA and kernels, and block dependencies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .accesses import access_of, inputs_of, overlap, reads_of, writes_of
from .compute_cycles import ifm_block_depth
from .hazards import Hazard
from .npu import Npu
from .operations import (
    BlockOperation,
    Convolution,
    Dma,
    FeatureMap,
    Kernel,
    Layout,
    Operation,
    Pooling,
)

MAX_OUTSTANDING_DMAS = 1
MAX_OUTSTANDING_KERNELS = 2


def check_waits(operations: Sequence[Operation], accelerator: Npu) -> Iterator[Hazard]:
    """DMA and block operations that may run at once and touch the same bytes."""
    kernels: deque[Operation] = deque(maxlen=MAX_OUTSTANDING_KERNELS)
    dmas: deque[Operation] = deque(maxlen=MAX_OUTSTANDING_DMAS)
    for op in operations:
        for queue, allowed in ((kernels, op.kernel_wait), (dmas, op.dma_wait)):
            while allowed is not None and len(queue) > allowed:
                queue.popleft()
        is_dma = isinstance(op, Dma)
        for other in kernels if is_dma else dmas:
            if _conflict(op, other, accelerator):
                yield Hazard(
                    op.command_index,
                    "dependency",
                    f"does not wait for {other.command} at command {other.command_index}, "
                    "which touches the same bytes",
                )
        (dmas if is_dma else kernels).append(op)


def _conflict(op: Operation, other: Operation, accelerator: Npu) -> bool:
    reads, writes = (list(reads_of(op, accelerator)), list(writes_of(op, accelerator)))
    other_reads, other_writes = (
        list(reads_of(other, accelerator)),
        list(writes_of(other, accelerator)),
    )
    pairs = [(w, o) for _, w in writes for _, o in other_reads + other_writes]
    pairs += [(r, o) for _, r in reads for _, o in other_writes]
    return any(overlap(a, b) for a, b in pairs)


def check_block_dependencies(operations: Sequence[Operation]) -> Iterator[Hazard]:
    """Block operations that may start before the one in front has written their input."""
    previous: BlockOperation | None = None
    for op in operations:
        if not isinstance(op, BlockOperation):
            continue
        if previous is not None and op.blockdep:
            yield from _check_blockdep(previous, op)
        previous = op


def _check_blockdep(previous: BlockOperation, op: BlockOperation) -> Iterator[Hazard]:
    """With blockdep n, the first job may start while the last n of `previous` still run."""
    for name, fm in inputs_of(op):
        if fm.region != previous.ofm.region or not overlap(access_of(fm), access_of(previous.ofm)):
            continue
        finishing = list(_last_jobs(previous, op.blockdep))
        starting = list(_first_jobs(op, fm, op.blockdep))
        for ahead, job in enumerate(starting):
            for behind, unfinished in enumerate(finishing):
                if ahead + behind < op.blockdep and overlap(access_of(job), access_of(unfinished)):
                    yield Hazard(
                        op.command_index,
                        "dependency",
                        f"blockdep {op.blockdep} lets block {ahead} read {name} before operation "
                        f"at command {previous.command_index} has written it",
                    )
                    return


def _boxes(
    shape: tuple[int, int, int], block: tuple[int, int, int]
) -> list[tuple[slice, slice, slice]]:
    """Blocks in the order the NPU walks them: depth innermost, then columns, then rows."""
    return [
        (
            slice(y, min(y + block[0], shape[0])),
            slice(x, min(x + block[1], shape[1])),
            slice(z, min(z + block[2], shape[2])),
        )
        for y in range(0, shape[0], block[0])
        for x in range(0, shape[1], block[1])
        for z in range(0, shape[2], block[2])
    ]


def _last_jobs(op: BlockOperation, count: int) -> Iterator[FeatureMap]:
    for box in reversed(_boxes(op.ofm.shape, op.block)[-count:]):
        yield _sub_feature_map(op.ofm, box)


def _first_jobs(op: BlockOperation, fm: FeatureMap, count: int) -> Iterator[FeatureMap]:
    """Input read by the first jobs; a convolution takes the input depth in slices, a job each."""
    kernel = op.kernel if isinstance(op, Convolution | Pooling) else Kernel(1, 1)
    across_depth = isinstance(op, Convolution) and not op.depthwise
    step = ifm_block_depth(op) if across_depth else op.block[2]
    factor = 2 if op.upscale else 1
    boxes = [
        (rows, columns, slice(z, z + step) if across_depth else channels)
        for rows, columns, channels in _boxes(op.ofm.shape, op.block)[:count]
        for z in range(0, fm.shape[2] if across_depth else 1, step)
    ]
    for rows, columns, channels in boxes[:count]:
        y = _input_range(rows, kernel.stride_y, kernel.dilated_height, kernel.pad_top, factor)
        x = _input_range(columns, kernel.stride_x, kernel.dilated_width, kernel.pad_left, factor)
        box = tuple(
            slice(0, 1) if n == 1 else slice(min(s.start, n - 1), min(s.stop, n))
            for s, n in zip((y, x, channels), fm.shape, strict=True)
        )
        yield _sub_feature_map(fm, (box[0], box[1], box[2]))


def _input_range(out: slice, stride: int, dilated: int, pad: int, factor: int) -> slice:
    first = max(out.start * stride - pad, 0) // factor
    last = max((out.stop - 1) * stride - pad + dilated - 1, 0) // factor
    return slice(first, last + 1)


def _sub_feature_map(fm: FeatureMap, box: tuple[slice, slice, slice]) -> FeatureMap:
    """The part of a single-tile feature map inside `box`; tiled maps are taken whole."""
    if fm.height0 < fm.shape[0] or fm.width0 < fm.shape[1]:
        return fm
    y, x, z = (s.start for s in box)
    size = fm.element_bytes
    if fm.layout is Layout.NHWC:
        offset = y * fm.stride_y + x * fm.stride_x + z * size
    else:
        offset = y * fm.stride_y + x * 16 * size + z // 16 * fm.stride_c + z % 16 * size
    shape = tuple(max(s.stop - s.start, 1) for s in box)
    return replace(
        fm,
        bases=(fm.bases[0] + offset, 0, 0, 0),
        shape=(shape[0], shape[1], shape[2]),
        height0=shape[0],
        height1=shape[0],
        width0=shape[1],
    )

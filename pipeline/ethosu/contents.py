"""Checks who wrote each byte last: uninitialized reads, clobbered tensors, unsafe overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .accesses import (
    SHRAM,
    Access,
    access_of,
    inputs_of,
    inside,
    overlap,
    range_access,
    reads_of,
    writes_of,
)
from .hazards import Hazard
from .listing import describe
from .model import READ_ONLY_REGION, TensorSpec, VelaModel
from .npu import Npu
from .operations import Activation, BlockOperation, Dma, Elementwise, Kernel, Operation, Pooling

_UNWRITTEN, _INITIAL = -2, -1
_BANKS_WITHOUT_TABLE_RESERVE = 16


def check_contents(
    model: VelaModel, operations: Sequence[Operation], accelerator: Npu
) -> Iterator[Hazard]:
    """Reads of bytes nobody wrote or somebody overwrote, and outputs left incomplete."""
    sizes = {0: len(model.read_only), 1: model.scratch_bytes, 2: model.scratch_fast_bytes}
    writers = {region: np.full(size, _UNWRITTEN, np.int32) for region, size in sizes.items()}
    writers[SHRAM] = np.full(accelerator.shram_bytes, _UNWRITTEN, np.int32)
    writers[READ_ONLY_REGION][:] = _INITIAL
    for spec in model.inputs + model.variables:
        writers[spec.region][spec.offset : spec.offset + spec.size_bytes] = _INITIAL
    for number, op in enumerate(operations):
        if isinstance(op, Dma):
            _copy(writers, op, number)
            continue
        for name, access in reads_of(op, accelerator):
            owners = _gather(writers, access)
            if (owners == _UNWRITTEN).any():
                count = int((owners == _UNWRITTEN).sum())
                yield Hazard(
                    op.command_index,
                    "uninitialized",
                    f"{name} reads {count} bytes of region {access.region} that nothing wrote",
                )
            yield from _clobbered(op, name, access, owners, operations, accelerator)
        assert isinstance(op, BlockOperation)
        yield from _check_in_place(op)
        if not _keeps_tables(op, accelerator):
            writers[SHRAM][:] = _UNWRITTEN
        for _, access in writes_of(op, accelerator):
            for start, end in access.runs:
                writers[access.region][start:end] = number
    for output in model.outputs:
        yield from _check_output(output, writers[output.region], operations)


def _copy(writers: dict[int, NDArray[np.int32]], op: Dma, number: int) -> None:
    """Bytes nobody wrote stay unwritten where they are copied to.

    Vela rounds the length of a copy up, so that it may take a few such bytes along; only reading
    them there would be wrong.
    """
    source, destination = range_access(op.source), range_access(op.destination)
    ((start, end),) = destination.runs
    written = _gather(writers, source) != _UNWRITTEN
    writers[destination.region][start:end] = np.where(written, number, _UNWRITTEN)


def _keeps_tables(op: BlockOperation, accelerator: Npu) -> bool:
    """The small configurations lend the table banks to accumulators when no table is used."""
    uses_table = op.output.activation is Activation.TABLE_0
    return uses_table or accelerator.shram_banks > _BANKS_WITHOUT_TABLE_RESERVE


def _check_output(
    spec: TensorSpec, writers: NDArray[np.int32], operations: Sequence[Operation]
) -> Iterator[Hazard]:
    owners = writers[spec.offset : spec.offset + spec.size_bytes]
    if (owners == _UNWRITTEN).any():
        last = operations[-1].command_index if operations else 0
        yield Hazard(last, "uninitialized", f"output {spec.name} is not written completely")


def _clobbered(
    op: Operation,
    name: str,
    access: Access,
    owners: NDArray[np.int32],
    operations: Sequence[Operation],
    accelerator: Npu,
) -> Iterator[Hazard]:
    """A tensor written by one operation, of which another later overwrote only a part."""
    writers = [int(w) for w in np.unique(owners) if w >= 0]
    if len(writers) < 2:
        return
    covered = np.concatenate([np.arange(start, end) for start, end in access.runs])
    oldest = writers[0]
    for _, written in writes_of(operations[oldest], accelerator):
        if written.region != access.region:
            continue
        also_by_oldest = inside(covered, written.runs)
        lost = int((also_by_oldest & (owners > oldest)).sum())
        if lost:
            yield Hazard(
                op.command_index,
                "clobbered",
                f"{name}: {lost} bytes written by operation {oldest} were overwritten by "
                f"operations {writers[1:]} before this read",
            )


def _check_in_place(op: BlockOperation) -> Iterator[Hazard]:
    """OFM over IFM is safe only when every element lands where it was read."""
    for name, fm in inputs_of(op):
        if fm.region != op.ofm.region or not overlap(access_of(fm), access_of(op.ofm)):
            continue
        same_place = fm.bases == op.ofm.bases and fm.shape == op.ofm.shape
        same_steps = (fm.stride_y, fm.stride_x, fm.dtype[-1], fm.layout) == (
            op.ofm.stride_y, op.ofm.stride_x, op.ofm.dtype[-1], op.ofm.layout,
        )  # fmt: skip
        pointwise = isinstance(op, Elementwise) or (
            isinstance(op, Pooling) and op.kernel == Kernel(1, 1)
        )
        if not (same_place and same_steps and pointwise):
            yield Hazard(op.command_index, "overlap", f"output overlaps {name}: {describe(op)}")


def _gather(writers: dict[int, NDArray[np.int32]], access: Access) -> NDArray[np.int32]:
    return np.concatenate([writers[access.region][start:end] for start, end in access.runs])

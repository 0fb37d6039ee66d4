"""Cost of every operation, and the schedule that overlaps them: the cycle model.

An operation lasts as long as its slowest part: the compute units, or the bytes it moves through
either AXI port. DMA runs beside block operations unless the stream waits. See docs/ethosu.md for
what is modelled and how it compares with Vela's estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .compute_cycles import ComputeCycles, compute_cycles
from .memory_system import MemorySystem
from .npu import Npu
from .operations import BlockOperation, Convolution, Dma, Operation, Pooling, PoolMode
from .traffic import Transfer, operation_transfers


@dataclass(frozen=True)
class OperationCost:
    """What one operation does and costs; `start_cycle` and `cycles` place it on the timeline."""

    operation: Operation
    macs: int
    compute: ComputeCycles
    transfers: tuple[Transfer, ...]
    port_cycles: tuple[int, int]
    cycles: int
    start_cycle: int


@dataclass(frozen=True)
class Counters:
    """The NPU's PMU events for one job, as the emulator's cycle model has them.

    Named like the PMU's: NPU_ACTIVE, NPU_IDLE, CYCLE, MAC_ACTIVE, WD_ACTIVE, AO_ACTIVE and the
    8-byte beats of both AXI ports.
    """

    npu_active: int = 0
    npu_idle: int = 0
    cycle: int = 0
    mac_active: int = 0
    wd_active: int = 0
    ao_active: int = 0
    axi0_rd_data_beat_received: int = 0
    axi0_wr_data_beat_written: int = 0
    axi1_rd_data_beat_received: int = 0
    axi1_wr_data_beat_written: int = 0


@dataclass(frozen=True)
class ProgramCost:
    """Costs in stream order, and the totals as PMU events."""

    operations: tuple[OperationCost, ...]
    counters: Counters


@dataclass
class _Schedule:
    """Two engines: block operations in order, DMA transfers in order; waits tie them together."""

    kernel_ends: list[int] = field(default_factory=list)
    dma_ends: list[int] = field(default_factory=list)
    issue_cycle: int = 0

    def place(self, op: Operation, cycles: int) -> int:
        """Start cycle of `op`; the command reader stalls at waits, so later commands wait too."""
        self.issue_cycle = max(self.issue_cycle, _after(self.kernel_ends, op.kernel_wait))
        self.issue_cycle = max(self.issue_cycle, _after(self.dma_ends, op.dma_wait))
        ends = self.dma_ends if isinstance(op, Dma) else self.kernel_ends
        start = max(self.issue_cycle, ends[-1] if ends else 0)
        ends.append(start + cycles)
        return start

    @property
    def end(self) -> int:
        return max([0, *self.kernel_ends[-1:], *self.dma_ends[-1:]])


def _after(ends: list[int], outstanding: int | None) -> int:
    """When at most `outstanding` of the started jobs are still running."""
    if outstanding is None or outstanding >= len(ends):
        return 0
    return ends[len(ends) - 1 - outstanding]


def operation_macs(op: Operation) -> int:
    """Multiply-accumulates, padding included; pooling counts its additions."""
    if not isinstance(op, Convolution | Pooling):
        return 0
    height, width, depth = op.ofm.shape
    macs = height * width * depth * op.kernel.height * op.kernel.width
    across_depth = (
        not op.depthwise if isinstance(op, Convolution) else op.mode is PoolMode.REDUCE_SUM
    )
    return macs * op.ifm.shape[2] if across_depth else macs


def cost_program(
    operations: Sequence[Operation], accelerator: Npu, system: MemorySystem
) -> ProgramCost:
    """Costs every operation and schedules the program on the given memories."""
    schedule = _Schedule()
    costs = []
    beats = {(port, is_write): 0 for port in (0, 1) for is_write in (False, True)}
    for op in operations:
        transfers = tuple(operation_transfers(op, accelerator.axi_bytes))
        port_cycles = [0.0, 0.0]
        for transfer in transfers:
            port = system.port(transfer.region)
            beats[port, transfer.is_write] += transfer.beats
            memory = system.ports[port]
            port_cycles[port] += transfer.beats * accelerator.axi_bytes / memory.bytes_per_cycle
        if isinstance(op, BlockOperation):
            compute = compute_cycles(op, accelerator, system)
            cycles = max(compute.total, int(max(port_cycles)))
        else:
            compute = ComputeCycles(0, 0, 0, 0)
            latency = sum(
                system.memory(t.region).write_latency_cycles
                if t.is_write
                else system.memory(t.region).read_latency_cycles
                for t in transfers
            )
            cycles = int(max(port_cycles)) + latency
        costs.append(
            OperationCost(
                operation=op,
                macs=operation_macs(op),
                compute=compute,
                transfers=transfers,
                port_cycles=(int(port_cycles[0]), int(port_cycles[1])),
                cycles=cycles,
                start_cycle=schedule.place(op, cycles),
            )
        )
    counters = Counters(
        npu_active=schedule.end,
        cycle=schedule.end,
        mac_active=sum(c.compute.mac for c in costs),
        wd_active=sum(c.compute.weight_decode for c in costs),
        ao_active=sum(c.compute.output for c in costs),
        axi0_rd_data_beat_received=beats[0, False],
        axi0_wr_data_beat_written=beats[0, True],
        axi1_rd_data_beat_received=beats[1, False],
        axi1_wr_data_beat_written=beats[1, True],
    )
    return ProgramCost(tuple(costs), counters)

"""Timeline of a program in the Chrome trace format, which Perfetto and chrome://tracing show."""

from __future__ import annotations

from typing import Any

from .cost import OperationCost, ProgramCost
from .listing import describe, operation_name
from .memory_system import MemorySystem
from .operations import Dma

_LANES = {"DMA": 1, "weight decode": 2, "MAC": 3, "output": 4, "AXI0": 5, "AXI1": 6}


def chrome_trace(cost: ProgramCost, system: MemorySystem) -> dict[str, Any]:
    """Trace events with times in microseconds of NPU clock; one lane per unit and AXI port.

    Within an operation the units overlap: a unit's bar shows how long it is busy, not which cycles.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "Ethos-U55 (emulator)"}}
    ]
    for name, thread in _LANES.items():
        events.append(
            {"ph": "M", "name": "thread_name", "pid": 0, "tid": thread, "args": {"name": name}}
        )
    microseconds_per_cycle = 1e6 / system.clock_hz
    for number, item in enumerate(cost.operations):
        for lane, cycles in _busy(item).items():
            if cycles:
                events.append(
                    {
                        "ph": "X",
                        "name": f"{number} {operation_name(item.operation)}",
                        "cat": lane,
                        "pid": 0,
                        "tid": _LANES[lane],
                        "ts": item.start_cycle * microseconds_per_cycle,
                        "dur": cycles * microseconds_per_cycle,
                        "args": {
                            "operation": describe(item.operation),
                            "cycles": item.cycles,
                            "macs": item.macs,
                        },
                    }
                )
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _busy(item: OperationCost) -> dict[str, int]:
    lanes = {
        "weight decode": item.compute.weight_decode,
        "MAC": item.compute.mac,
        "output": item.compute.output,
        "AXI0": item.port_cycles[0],
        "AXI1": item.port_cycles[1],
    }
    if isinstance(item.operation, Dma):
        lanes["DMA"] = item.cycles
    return lanes

"""The memory system the NPU should see on FPGA and FVP, which have timing adapters for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimingAdapter:
    """Timing of the memory behind one AXI port of the NPU, in the order of the registers.

    Latencies and pulses are NPU cycles; the port moves at most `words_per_period` 64-bit words in
    `cycles_on + cycles_off` cycles. 0 pending transactions means no limit.
    """

    pending_reads: int
    pending_writes: int
    pending_transactions: int
    read_latency_cycles: int
    write_latency_cycles: int
    cycles_on: int
    cycles_off: int
    words_per_period: int


@dataclass(frozen=True)
class MemoryTiming:
    """AXI port 0 is SRAM, port 1 is flash."""

    axi0: TimingAdapter
    axi1: TimingAdapter


# Arm's published adapter settings for the systems Vela's configuration file calls
# Ethos_U55_High_End_Embedded (ML Embedded Evaluation Kit, ta_config_u55_high_end.cmake).
HIGH_END_EMBEDDED = MemoryTiming(
    axi0=TimingAdapter(8, 8, 0, 32, 32, 3999, 1, 4000),
    axi1=TimingAdapter(2, 0, 0, 64, 0, 320, 80, 50),
)

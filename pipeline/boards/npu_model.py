"""The bit-exact emulator as the computing half of the virtual NPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.boards.npu_server import (
    BusError,
    Completion,
    GuestMemory,
    NpuModel,
    Registers,
    Status,
)
from pipeline.ethosu.cost import Counters
from pipeline.ethosu.errors import AddressError, EthosUError, WeightDecoderError
from pipeline.ethosu.job import NpuConfig, execute_stream
from pipeline.ethosu.memory_system import MemorySystem, memory_system

_QUEUE_BASE, _QUEUE_SIZE, _CONFIG, _REGION_CONFIG = 0x010, 0x020, 0x028, 0x03C
_BASE_POINTER_0, _REGIONS = 0x080, 8
_PMU_CONTROL, _PMU_ENABLED = 0x180, 0x184
_CYCLE_COUNTER_ENABLED = 1 << 31
_CYCLE_COUNTER, _EVENT_COUNTER_0, _EVENT_TYPE_0, _EVENT_COUNTERS = 0x1A0, 0x300, 0x380, 4
_MAX_STREAM_BYTES = 1 << 24
# REGIONCFG gives each region a traffic class; classes 2 and 3 leave through AXI port 1.
_FIRST_AXI1_CLASS = 2


@dataclass(frozen=True)
class EmulatedNpu:
    """Executes each job's command stream on the guest's memory.

    Counters and duration come from the emulator's cycle model of `system_config`, with weights
    behind the AXI port that the driver chose for them.
    """

    system_config: str = "Ethos_U55_High_End_Embedded"

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        """One job; a fault of the stream or its addresses becomes the NPU's error status."""
        system = self._memory_system(registers)
        try:
            size = min(registers[_QUEUE_SIZE], _MAX_STREAM_BYTES)
            counters = execute_stream(
                memory.read(registers.address(_QUEUE_BASE), size),
                memory,
                [registers.address(_BASE_POINTER_0 + 8 * region) for region in range(_REGIONS)],
                NpuConfig(f"ethos-u55-{1 << (registers[_CONFIG] & 0xF)}", system),
            )
        except (AddressError, BusError):
            return Completion(Status.BUS_FAULT, 0)
        except WeightDecoderError:
            return Completion(Status.WEIGHT_DECODER_FAULT, 0)
        except EthosUError:
            return Completion(Status.COMMAND_ERROR, 0)
        duration_ns = round(counters.cycle / system.clock_hz * 1e9)
        return Completion(Status.COMMAND_END, duration_ns, _pmu_registers(registers, counters))

    def _memory_system(self, registers: Registers) -> MemorySystem:
        weights_in_flash = registers[_REGION_CONFIG] & 3 >= _FIRST_AXI1_CLASS
        return memory_system(self.system_config, "Shared_Sram" if weights_in_flash else "Sram_Only")


@dataclass
class CountedJobs:
    """Another model of the NPU, telling `on_job` after each job how many there were."""

    npu: NpuModel
    on_job: Callable[[int], None]
    jobs: int = 0

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        """See `NpuModel.run`."""
        completion = self.npu.run(registers, memory)
        self.jobs += 1
        self.on_job(self.jobs)
        return completion


def _pmu_registers(registers: Registers, counters: Counters) -> dict[int, int]:
    """Counters that are enabled, advanced by the job: each of the events its type selects."""
    if not registers[_PMU_CONTROL] & 1:
        return {}
    enabled = registers[_PMU_ENABLED]
    events = {
        0x11: counters.cycle,
        0x20: counters.npu_idle,
        0x23: counters.npu_active,
        0x30: counters.mac_active,
        0x40: counters.ao_active,
        0x50: counters.wd_active,
        0x82: counters.axi0_rd_data_beat_received,
        0x87: counters.axi0_wr_data_beat_written,
        0x182: counters.axi1_rd_data_beat_received,
        0x187: counters.axi1_wr_data_beat_written,
    }
    values = {}
    if enabled & _CYCLE_COUNTER_ENABLED:
        cycles = registers.address(_CYCLE_COUNTER) + counters.cycle
        values = {
            _CYCLE_COUNTER: cycles & 0xFFFFFFFF,
            _CYCLE_COUNTER + 4: cycles >> 32 & 0xFFFF,
        }
    for index in range(_EVENT_COUNTERS):
        if enabled >> index & 1:
            offset = _EVENT_COUNTER_0 + 4 * index
            count = events.get(registers[_EVENT_TYPE_0 + 4 * index], 0)
            values[offset] = registers[offset] + count & 0xFFFFFFFF
    return values

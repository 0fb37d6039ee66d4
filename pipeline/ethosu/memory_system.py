"""Bandwidth and latency of the memories behind the NPU's two AXI ports, from Vela's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from .errors import OptionError
from .npu import U55_AXI_BYTES
from .vela_config import ARM, DEFAULT_SYSTEM, VelaConfig

_PORTS = {"Axi0": 0, "Axi1": 1}
_MEMORIES = ("Sram", "Dram", "OnChipFlash", "OffChipFlash")
_FLASH, _RAM = _MEMORIES[1:], _MEMORIES[:2]
# What Vela lets lie behind each region's port. Constants alone may share the SRAM with all else.
_REGION_AREAS = {"const_mem_area": _FLASH, "arena_mem_area": _RAM, "cache_mem_area": ("Sram",)}


@dataclass(frozen=True)
class MemoryTiming:
    """One memory as seen from the NPU clock; latencies in cycles."""

    name: str
    bytes_per_cycle: float
    read_latency_cycles: int
    write_latency_cycles: int


@dataclass(frozen=True)
class MemorySystem:
    """Which AXI port each region uses, and what is behind the ports."""

    name: str
    clock_hz: float
    ports: tuple[MemoryTiming, MemoryTiming]
    region_ports: tuple[int, int, int]

    def port(self, region: int) -> int:
        """AXI port (0 or 1) of a region; regions beyond the three Vela uses share the arena's."""
        return (
            self.region_ports[region] if region < len(self.region_ports) else self.region_ports[1]
        )

    def memory(self, region: int) -> MemoryTiming:
        return self.ports[self.port(region)]


@cache
def memory_system(
    system_config: str = DEFAULT_SYSTEM,
    memory_mode: str = "Shared_Sram",
    config: VelaConfig = ARM,
) -> MemorySystem:
    """Vela's description of a system (`System_Config.*`) and memory mode (`Memory_Mode.*`).

    Raises:
        OptionError: a name that the configuration does not have, or a value that Vela refuses.
    """
    system, mode = config.system(system_config), config.memory_mode(memory_mode)
    where = f"system {system_config!r}, memory mode {memory_mode!r}"
    try:
        clock_hz = _positive(system, "core_clock")
        ports = tuple(_timing(system, system[f"axi{port}_port"]) for port in (0, 1))
        areas = [mode[name] for name in _REGION_AREAS]
        region_ports = [_PORTS[area] for area in areas]
    except KeyError as error:
        raise OptionError(f"{where}: {error} is missing or no port") from None
    except ValueError as error:
        raise OptionError(f"{where}: {error}") from None
    for (area, allowed), port in zip(_REGION_AREAS.items(), region_ports, strict=True):
        shared = len(set(region_ports)) == 1 and ports[port].name == "Sram"
        if ports[port].name not in allowed and not shared:
            raise OptionError(
                f"{where}: {area} is {ports[port].name}, expected {' or '.join(allowed)}"
            )
    return MemorySystem(
        name=f"{system_config}/{memory_mode}",
        clock_hz=clock_hz,
        ports=(ports[0], ports[1]),
        region_ports=(region_ports[0], region_ports[1], region_ports[2]),
    )


def _timing(system: Mapping[str, str], memory: str) -> MemoryTiming:
    if memory not in _MEMORIES:
        raise ValueError(f"{memory!r} is no memory, expected {', '.join(_MEMORIES)}")
    return MemoryTiming(
        name=memory,
        bytes_per_cycle=U55_AXI_BYTES * _positive(system, f"{memory}_clock_scale"),
        read_latency_cycles=int(system[f"{memory}_read_latency"]),
        write_latency_cycles=int(system[f"{memory}_write_latency"]),
    )


def _positive(section: Mapping[str, str], key: str) -> float:
    value = float(section[key])
    if not 0 < value < float("inf"):
        raise ValueError(f"{key} is {section[key]}, expected a positive number")
    return value

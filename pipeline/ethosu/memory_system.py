"""Bandwidth and latency of the memories behind the NPU's two AXI ports, from Vela's own file."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ethosu

AXI_BEAT_BYTES = 8
_REGION_AREAS = {0: "const_mem_area", 1: "arena_mem_area", 2: "cache_mem_area"}


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
def _vela_config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string((Path(ethosu.__path__[0]) / "config_files" / "Arm" / "vela.ini").read_text())
    return parser


@cache
def memory_system(
    system_config: str = "Ethos_U55_High_End_Embedded", memory_mode: str = "Shared_Sram"
) -> MemorySystem:
    """Vela's description of a system (`System_Config.*`) and memory mode (`Memory_Mode.*`).

    Raises:
        ValueError: a name Vela's configuration file does not have.
    """
    config = _vela_config()
    for section in (f"System_Config.{system_config}", f"Memory_Mode.{memory_mode}"):
        if section not in config:
            names = [name for name in config if name.startswith(section.split(".")[0])]
            raise ValueError(f"no [{section}] in Vela's configuration; it has {', '.join(names)}")
    system = config[f"System_Config.{system_config}"]
    ports = tuple(_timing(system, system[f"axi{port}_port"]) for port in (0, 1))
    areas = [_inherited(memory_mode, area) for area in _REGION_AREAS.values()]
    read_only, scratch, fast = (int(area.removeprefix("Axi")) for area in areas)
    return MemorySystem(
        name=f"{system_config}/{memory_mode}",
        clock_hz=float(system["core_clock"]),
        ports=(ports[0], ports[1]),
        region_ports=(read_only, scratch, fast),
    )


def _timing(system: configparser.SectionProxy, memory: str) -> MemoryTiming:
    return MemoryTiming(
        name=memory,
        bytes_per_cycle=AXI_BEAT_BYTES * float(system[f"{memory}_clock_scale"]),
        read_latency_cycles=int(system[f"{memory}_read_latency"]),
        write_latency_cycles=int(system[f"{memory}_write_latency"]),
    )


def _inherited(memory_mode: str, key: str) -> str:
    section = _vela_config()[f"Memory_Mode.{memory_mode}"]
    if key in section:
        return section[key]
    return _inherited(section["inherit"].removeprefix("Memory_Mode."), key)

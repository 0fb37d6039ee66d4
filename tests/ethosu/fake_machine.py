"""Memory of a machine that hosts an NPU: some mapped areas, everything else a fault."""

from __future__ import annotations

from collections.abc import Mapping


class BusFault(Exception):
    """An access outside the mapped areas."""


class FakeMachine:
    """`pipeline.ethosu.Memory` over areas by start address; `written` logs [start, end)."""

    def __init__(self, areas: Mapping[int, bytes]) -> None:
        self.areas = {start: bytearray(content) for start, content in areas.items()}
        self.written: list[tuple[int, int]] = []

    def _find(self, address: int, size_bytes: int) -> tuple[bytearray, int]:
        for start, content in self.areas.items():
            if start <= address and address + size_bytes <= start + len(content):
                return content, address - start
        raise BusFault(f"unmapped {address:#x}+{size_bytes:#x}")

    def read(self, address: int, size_bytes: int) -> bytes:
        content, at = self._find(address, size_bytes)
        return bytes(content[at : at + size_bytes])

    def write(self, address: int, content: bytes) -> None:
        area, at = self._find(address, len(content))
        area[at : at + len(content)] = content
        self.written.append((address, address + len(content)))

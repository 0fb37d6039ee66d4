"""The four Ethos-U55 configurations: MAC array geometry, SHRAM size and output rates.

Sources: `AcceleratorConfig` in Vela's `architecture_features.py` (micro-block sizes, SHRAM banks)
and `npu_performance.py` (output cycles per element), both Apache-2.0, Arm.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import OptionError

SHRAM_BANK_BYTES = 1024
LUT_BANKS = 2
LUT_SLOT_BYTES = 256
SUBKERNEL_TAPS = 8
"""A kernel is walked in pieces of at most this many dilated taps a side."""


def ceil_divide(value: int, divisor: int) -> int:
    """value / divisor, rounded up."""
    return -(-value // divisor)


@dataclass(frozen=True)
class Accelerator:
    """Geometry of one NPU configuration.

    `ofm_ublock` is (height, width, depth) of the micro-block the MAC array computes at a time.
    `output_cycles` are cycles per output element of the output stage for: unary 32-bit elementwise,
    binary 32-bit, 32-bit multiply, multiply or 40-bit accumulators, simple add, scaled add,
    max pooling, everything else. `activation_cycles` are for table lookup and for clamping.
    """

    name: str
    macs: int
    ofm_ublock: tuple[int, int, int]
    ifm_ublock_depth: int
    shram_banks: int
    output_cycles: tuple[float, float, float, float, float, float, float, float]
    activation_cycles: tuple[float, float]

    @property
    def shram_bytes(self) -> int:
        return self.shram_banks * SHRAM_BANK_BYTES

    @property
    def lut_address(self) -> int:
        """SHRAM byte address of lookup-table slot 0; tables occupy the last two banks."""
        return (self.shram_banks - LUT_BANKS) * SHRAM_BANK_BYTES


ACCELERATORS = {
    accelerator.name: accelerator
    for accelerator in (
        Accelerator(
            "ethos-u55-32", 32, (1, 1, 4), 8, 16,
            (2.0, 3.0, 3.0, 3.0, 4.0, 6.0, 1.0, 2.0), (1.0, 1.0),
        ),
        Accelerator(
            "ethos-u55-64", 64, (1, 1, 8), 8, 16,
            (1.0, 1.5, 1.5, 1.5, 2.0, 3.0, 0.5, 1.0), (1.0, 1.0),
        ),
        Accelerator(
            "ethos-u55-128", 128, (1, 2, 8), 8, 24,
            (0.75, 1.25, 0.75, 0.75, 1.0, 1.5, 0.25, 0.5), (1.0, 0.5),
        ),
        Accelerator(
            "ethos-u55-256", 256, (2, 2, 8), 8, 48,
            (0.625, 1.125, 0.5, 0.375, 0.5, 0.75, 0.125, 0.25), (1.0, 0.25),
        ),
    )
}  # fmt: skip


def get_accelerator(name: str) -> Accelerator:
    """Looks up a configuration by Vela's name, e.g. "ethos-u55-128".

    Raises:
        OptionError: unknown name; the message lists the valid ones.
    """
    if name not in ACCELERATORS:
        raise OptionError(f"unknown accelerator {name!r}; choose one of {', '.join(ACCELERATORS)}")
    return ACCELERATORS[name]

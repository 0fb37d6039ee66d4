"""One row for each NPU: its family, sizes and rates, and what products cost on it.

Sources: `AcceleratorConfig` in Vela's `architecture_features.py` (micro-block sizes, SHRAM banks)
and `npu_performance.py` (output cycles per element), both Apache-2.0, Arm; costs of products are
fitted to Vela's estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import OptionError

NpuName = Literal["ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256"]
SHRAM_BANK_BYTES = 1024
LUT_BANKS = 2
LUT_SLOT_BYTES = 256
SUBKERNEL_TAPS = 8
"""A kernel is walked in pieces of at most this many dilated taps a side."""
U55_AXI_BYTES = 8


def ceil_divide(value: int, divisor: int) -> int:
    """value / divisor, rounded up."""
    return -(-value // divisor)


@dataclass(frozen=True)
class ProductCost:
    """Cycles of a fully connected operator that reads a slice of its input, weights in SRAM.

    Attributes:
        output_tile: outputs made at once.
        input_tile: inputs read at once.
        operator_cycles: of any such operator.
        output_cycles: of each output of whole tiles.
        input_tile_cycles: of each tile of inputs for each output.
    """

    output_tile: int
    input_tile: int
    operator_cycles: float
    output_cycles: float
    input_tile_cycles: float

    def cycles(self, inputs: int, outputs: int) -> float:
        """Of a product of so many inputs and outputs."""
        reads = ceil_divide(inputs, self.input_tile) * self.input_tile_cycles
        made = ceil_divide(outputs, self.output_tile) * self.output_tile
        return self.operator_cycles + made * (self.output_cycles + reads)


# Fitted on the Ethos-U55-128, 8 to 256 inputs and 8 to 128 outputs
# (`tests/lowering/test_windows.py` checks the fit); the others are cut as it is.
_FITTED = ProductCost(
    output_tile=8, input_tile=32, operator_cycles=85.0, output_cycles=2.3, input_tile_cycles=5.0
)


@dataclass(frozen=True)
class Npu:
    """One NPU configuration.

    `ofm_ublock` is (height, width, depth) of the micro-block the MAC array computes at a time.
    `output_cycles` are cycles per output element of the output stage for: unary 32-bit elementwise,
    binary 32-bit, 32-bit multiply, multiply or 40-bit accumulators, simple add, scaled add,
    max pooling, everything else. `activation_cycles` are for table lookup and for clamping.
    `axi_bytes` is what one beat of an AXI port carries.
    """

    name: NpuName
    macs: int
    ofm_ublock: tuple[int, int, int]
    ifm_ublock_depth: int
    shram_banks: int
    output_cycles: tuple[float, float, float, float, float, float, float, float]
    activation_cycles: tuple[float, float]
    family: Literal["ethos-u55"] = "ethos-u55"
    axi_bytes: int = U55_AXI_BYTES
    product: ProductCost = _FITTED

    @property
    def shram_bytes(self) -> int:
        return self.shram_banks * SHRAM_BANK_BYTES

    @property
    def lut_address(self) -> int:
        """SHRAM byte address of lookup-table slot 0; tables occupy the last two banks."""
        return (self.shram_banks - LUT_BANKS) * SHRAM_BANK_BYTES


NPUS: dict[str, Npu] = {
    npu.name: npu
    for npu in (
        Npu(
            "ethos-u55-32", 32, (1, 1, 4), 8, 16,
            (2.0, 3.0, 3.0, 3.0, 4.0, 6.0, 1.0, 2.0), (1.0, 1.0),
        ),
        Npu(
            "ethos-u55-64", 64, (1, 1, 8), 8, 16,
            (1.0, 1.5, 1.5, 1.5, 2.0, 3.0, 0.5, 1.0), (1.0, 1.0),
        ),
        Npu(
            "ethos-u55-128", 128, (1, 2, 8), 8, 24,
            (0.75, 1.25, 0.75, 0.75, 1.0, 1.5, 0.25, 0.5), (1.0, 0.5),
        ),
        Npu(
            "ethos-u55-256", 256, (2, 2, 8), 8, 48,
            (0.625, 1.125, 0.5, 0.375, 0.5, 0.75, 0.125, 0.25), (1.0, 0.25),
        ),
    )
}  # fmt: skip


# The one that models are shaped for, whatever they are compiled for.
REFERENCE_NPU = NPUS["ethos-u55-128"]


def get_npu(name: str) -> Npu:
    """Looks up a configuration by Vela's name, e.g. "ethos-u55-128".

    Raises:
        OptionError: unknown name; the message lists the valid ones.
    """
    if name not in NPUS:
        raise OptionError(f"unknown accelerator {name!r}; choose one of {', '.join(NPUS)}")
    return NPUS[name]

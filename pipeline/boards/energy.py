"""An estimate of the energy of a hop, from counts and published energies of single operations.

The constants are those of 45 nm at 0.9 V in M. Horowitz, "Computing's energy problem (and what we
can do about it)", ISSCC 2014, its table of rough energies and Fig. 1.1.9. A part of today takes
less, and every part has leakage and clocks of its own: the estimate compares models and processors,
and is no prediction for a product.
"""

from __future__ import annotations

BEAT_BYTES = 8
# An instruction of a simple processor, its fetch and registers included.
INSTRUCTION_PJ = 70.0
# A product of 8 bits and its sum of 32.
MAC_PJ = 0.2 + 0.1
# 64 bits of an on-chip memory of a megabyte.
SRAM_BEAT_PJ = 100.0
# 64 bits of DRAM, the lower of the two values; stands for any memory outside of the chip.
FLASH_BEAT_PJ = 1300.0


def hop_energy_uj(
    instructions: float,
    npu_active_cycles: float = 0,
    macs_per_cycle: int = 0,
    sram_beats: float = 0,
    flash_beats: float = 0,
) -> float:
    """Microjoules of a hop.

    Args:
        instructions: of the CPU; what it reads and writes on chip is part of them.
        npu_active_cycles: in each of which all multipliers are taken to work.
        macs_per_cycle: how many those are.
        sram_beats: of 64 bits between NPU and SRAM.
        flash_beats: of 64 bits from flash to NPU or CPU.
    """
    picojoules = (
        instructions * INSTRUCTION_PJ
        + npu_active_cycles * macs_per_cycle * MAC_PJ
        + sram_beats * SRAM_BEAT_PJ
        + flash_beats * FLASH_BEAT_PJ
    )
    return picojoules / 1e6

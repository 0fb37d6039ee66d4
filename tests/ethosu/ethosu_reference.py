"""Compiles graphs with Vela in-process and compares the emulator with reference kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ethosu
import numpy as np
from ethosu import regor
from ethosu.vela.vela import get_compiler_config

from pipeline.ethosu import Emulator
from pipeline.ethosu.golden import Arrays, Golden

ACCELERATOR_MACS = (32, 64, 128, 256)
SYSTEM_CONFIG = "Ethos_U55_High_End_Embedded"


@cache
def _vela_ini() -> str:
    return (Path(ethosu.__path__[0]) / "config_files/Arm/vela.ini").read_text()


def vela_compile(
    model: bytes, macs: int = 128, memory_mode: str = "Shared_Sram", optimise: str = "Performance"
) -> bytes:
    """Vela's C++ core as the `vela` command calls it, without a process and files in between."""
    system = (
        f"[architecture]\nmacs={macs}\ncores=1\n[vela]\nsystem_config_name={SYSTEM_CONFIG}\n"
        f"memory_mode_name={memory_mode}\n{_vela_ini()}"
    )
    off = dict.fromkeys(
        (
            "enable_debug_db", "verbose_all", "verbose_high_level_command_stream",
            "verbose_register_command_stream", "verbose_schedule", "verbose_allocation",
            "verbose_graph", "verbose_quantization", "verbose_packing", "verbose_performance",
            "show_cpu_operations", "disable_chaining", "disable_fwd", "disable_cascading",
            "disable_buffering", "disable_ifm_reuse", "separate_io_regions",
        ),
        False,
    )  # fmt: skip
    options = get_compiler_config(
        **off,
        optimize=optimise,
        arena_cache_size=1 << 22,
        output_format="tflite",
        cop_format="COP1",
        cpu_tensor_alignment=16,
        tensor_allocator="HillClimb",
        softmax_int16_neg_exp_range=10.0,
    )
    compiled = regor.compile("EthosU55", model, "TFLITE", system, options=options)
    return bytes(compiled.model)


@dataclass(frozen=True)
class Comparison:
    """Elements compared, how many differ, and the largest difference in quantized steps."""

    elements: int
    mismatches: int
    largest_difference: int


def compare(emulator: Emulator, reference: Golden, inputs: Arrays) -> Comparison:
    """One inference on both."""
    elements = mismatches = largest = 0
    actual = emulator.invoke(inputs)
    for name, expected in reference.invoke(inputs).items():
        difference = np.abs(
            expected.astype(np.int64) - actual[name].astype(np.int64).reshape(expected.shape)
        )
        elements += difference.size
        mismatches += int(np.count_nonzero(difference))
        largest = max(largest, int(difference.max(initial=0)))
    return Comparison(elements, mismatches, largest)

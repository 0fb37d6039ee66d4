"""Compiles graphs with Vela in-process and runs them on TFLite's reference kernels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ethosu
import numpy as np
from ethosu import regor
from ethosu.vela.vela import get_compiler_config

from pipeline.ethosu import Emulator, load_vela_model

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


def reference_interpreter(model: bytes) -> Any:
    """A TFLite interpreter on the reference kernels, tensors allocated."""
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(
            model_content=model,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        )
    interpreter.allocate_tensors()
    return interpreter


def random_inputs(interpreter: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Full-range random input arrays by tensor name."""
    inputs = {}
    for detail in interpreter.get_input_details():
        limits = np.iinfo(detail["dtype"])
        values = rng.integers(limits.min, limits.max + 1, detail["shape"])
        inputs[detail["name"]] = values.astype(detail["dtype"])
    return inputs


def run_reference(interpreter: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of the reference kernels by tensor name."""
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    }


@dataclass(frozen=True)
class Comparison:
    """Elements compared, how many differ, and the largest difference in quantized steps."""

    elements: int
    mismatches: int
    largest_difference: int


def compare_with_reference(model: bytes, macs: int, seed: int, invocations: int = 1) -> Comparison:
    """Emulates the compiled graph beside the reference kernels on random input."""
    interpreter = reference_interpreter(model)
    emulator = Emulator(load_vela_model(vela_compile(model, macs)))
    rng = np.random.default_rng(seed)
    elements = mismatches = largest = 0
    for _ in range(invocations):
        inputs = random_inputs(interpreter, rng)
        expected = run_reference(interpreter, inputs)
        actual = emulator.invoke(inputs)
        for name, reference in expected.items():
            difference = np.abs(
                reference.astype(np.int64) - actual[name].astype(np.int64).reshape(reference.shape)
            )
            elements += difference.size
            mismatches += int(np.count_nonzero(difference))
            largest = max(largest, int(difference.max(initial=0)))
    return Comparison(elements, mismatches, largest)

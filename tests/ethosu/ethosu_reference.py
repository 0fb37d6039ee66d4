"""Compiles graphs with Vela in-process and runs them on TFLite's reference kernels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ethosu
import numpy as np
from ethosu import regor
from ethosu.vela.vela import get_compiler_config

from pipeline.ethosu import Emulator, TensorSpec, load_vela_model

Arrays = dict[str, np.ndarray]

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


class TfliteReference:
    """TFLite's reference kernels."""

    def __init__(self, model: bytes) -> None:
        import tensorflow as tf

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._interpreter = tf.lite.Interpreter(
                model_content=model,
                experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
            )
        self._interpreter.allocate_tensors()

    def invoke(self, inputs: Arrays) -> Arrays:
        interpreter = self._interpreter
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], inputs[detail["name"]])
        interpreter.invoke()
        details = interpreter.get_output_details()
        return {d["name"]: interpreter.get_tensor(d["index"]) for d in details}


class MicroReference:
    """TFLite Micro's reference kernels, from the tflite-micro package."""

    def __init__(self, model: bytes) -> None:
        from tflite_micro.python.tflite_micro import runtime

        self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 23)
        self._emulated = load_vela_model(vela_compile(model))

    def invoke(self, inputs: Arrays) -> Arrays:
        for index, spec in enumerate(self._emulated.inputs):
            self._interpreter.set_input(inputs[spec.name], index)
        self._interpreter.invoke()
        return {
            spec.name: self._interpreter.get_output(index)
            for index, spec in enumerate(self._emulated.outputs)
        }


Reference = TfliteReference | MicroReference


def random_inputs(specs: Sequence[TensorSpec], rng: np.random.Generator) -> Arrays:
    """Full-range random input arrays by tensor name."""
    inputs = {}
    for spec in specs:
        limits = np.iinfo(spec.dtype)
        inputs[spec.name] = rng.integers(limits.min, limits.max + 1, spec.shape).astype(spec.dtype)
    return inputs


@dataclass(frozen=True)
class Comparison:
    """Elements compared, how many differ, and the largest difference in quantized steps."""

    elements: int
    mismatches: int
    largest_difference: int


def compare(emulator: Emulator, reference: Reference, inputs: Arrays) -> Comparison:
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


def compare_with_reference(
    model: bytes,
    macs: int,
    seed: int,
    reference: type[TfliteReference | MicroReference] = TfliteReference,
) -> Comparison:
    """Emulates the compiled graph beside reference kernels on random input."""
    emulator = Emulator(load_vela_model(vela_compile(model, macs)))
    inputs = random_inputs(emulator.model.inputs, np.random.default_rng(seed))
    return compare(emulator, reference(model), inputs)

"""Checks any integer TFLite model on the Ethos-U55: what runs there, exactly, how fast, how big.

python -m pipeline.check model.tflite
python -m pipeline.check model.tflite --accelerator all --memory-mode Sram_Only --sram-kib 512 \\
    --flash-kib 2048 --html check.html

The model is compiled with Vela. Conversions from and to float at its ends are cut off, operators
that stay on the CPU are named with Vela's reason, and every part for the NPU runs in the bit-exact
emulator beside the reference kernels of TFLite Micro and TFLite, on random inputs, on the edges of
the types, and on those given. Exit code 0: all of it runs on the NPU, equals a reference, has no
hazards, and fits; 1: something does not; 2: it cannot be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.cli import at_least, command_parser, new_file, reported_errors
from pipeline.errors import InputError
from pipeline.ethosu import Emulator, MemorySystem, memory_system, vela
from pipeline.ethosu.comparison import compare_with_vela
from pipeline.ethosu.errors import ModelError
from pipeline.ethosu.model import VelaModel, load_npu_operators, lost_outputs
from pipeline.ethosu.npu import NPUS
from pipeline.ethosu.stimuli import read_inputs
from pipeline.ethosu.surgery import cut_float_ends, extract
from pipeline.ethosu.uncompiled import read_uncompiled
from pipeline.ethosu.vela_config import DEFAULT_SYSTEM, VelaConfig
from pipeline.ethosu.verification import stimuli, verify
from pipeline.ethosu.weight_statistics import weight_tensors
from pipeline.progress import Reporter
from pipeline.tools.check_page import write_page
from pipeline.tools.check_result import Check, Fit, PartCheck, as_json, describe

_QUIET_S = 5.0
_KIB = 1024
_ALL = "all"


def check(
    path: Path, accelerator: str, options: argparse.Namespace, scratch: Path, report: Reporter
) -> Check:
    """Compile a model for one accelerator and check everything about it.

    Raises:
        ModelError: it is no integer TFLite model, or a part of it cannot be told apart.
        VelaError: Vela cannot compile it.
        StimulusError: the inputs given do not fit it.
    """
    try:
        cut = cut_float_ends(read_uncompiled(path))
    except ModelError as error:
        raise ModelError(_naming(path, path, error)) from error
    golden = scratch / f"{path.stem}.tflite"
    golden.write_bytes(cut.content)
    systems = VelaConfig.load(options.vela_config)
    try:
        compiled = vela.compile(
            golden, scratch / accelerator, accelerator, options.system_config,
            options.memory_mode, allow_cpu_fallback=True, config=systems,
        )  # fmt: skip
    except vela.VelaError as error:
        raise vela.VelaError(_naming(path, golden, error)) from error
    system = memory_system(options.system_config, options.memory_mode, systems)
    parts = []
    content = compiled.path.read_bytes()
    models = load_npu_operators(content) if _has_npu(compiled) else ()
    lost = lost_outputs(content) if models else ()
    whole = len(models) == 1 and not compiled.cpu_operators
    if options.input and not whole:
        raise InputError(
            f"{path}: {len(models)} parts run on the NPU and {len(compiled.cpu_operators)} "
            "operators on the CPU; --input takes a model that runs there as one"
        )
    for number, model in enumerate(models):
        reference = scratch / f"{path.stem}-part{number}.tflite"
        reference.write_bytes(_part(path, cut.content, model, number))
        title = f"{accelerator}, part {number + 1} of {len(models)}"
        parts.append(
            _check_part(model, number, reference, compiled, system, options, partial(report, title))
        )
    fits = _fits(compiled, system, options)
    return Check(compiled, system, cut.removed, lost, tuple(parts), fits)


def _naming(path: Path, used: Path, error: Exception) -> str:
    """The error's text with the file the user gave, where it names what was made of it."""
    text = str(error).replace(str(used), str(path))
    return text if str(path) in text else f"{path}: {text}"


def _has_npu(compiled: vela.CompiledModel) -> bool:
    return bool(compiled.flash.command_stream)


def _part(path: Path, content: bytes, model: VelaModel, number: int) -> bytes:
    inputs, outputs = ([spec.name for spec in specs] for specs in (model.inputs, model.outputs))
    try:
        return extract(content, inputs, outputs)
    except ModelError as error:
        raise ModelError(
            f"{path}: NPU operator {number + 1} cannot be cut out of the model to be compared: "
            f"{error}"
        ) from error


def _check_part(
    model: VelaModel,
    number: int,
    reference: Path,
    compiled: vela.CompiledModel,
    system: MemorySystem,
    options: argparse.Namespace,
    report: Callable[[int, int], None],
) -> PartCheck:
    emulator = Emulator(model)
    given = read_inputs(options.input, model.inputs) if options.input else []
    chosen = stimuli(emulator, options.inferences, options.seed, given)
    done = iter(range(1, len(chosen) + 1))
    verifications = verify(emulator, reference, chosen, lambda: report(next(done), len(chosen)))
    cost = emulator.cost(system)
    return PartCheck(
        inputs=tuple(spec.name for spec in model.inputs),
        outputs=tuple(spec.name for spec in model.outputs),
        variables=tuple(spec.name for spec in model.variables),
        verifications=verifications,
        hazards=tuple(map(str, emulator.check())),
        layers=compare_with_vela(cost, compiled.layers, number),
        cost=cost,
    )


def _fits(
    compiled: vela.CompiledModel, system: MemorySystem, options: argparse.Namespace
) -> tuple[Fit, ...]:
    """Constants count where the memory mode puts them."""
    in_sram = system.memory(0).name == "Sram"
    sram = compiled.arena_bytes + (compiled.flash.total if in_sram else 0)
    sizes = (("SRAM", sram, options.sram_kib), ("flash", compiled.flash.total, options.flash_kib))
    return tuple(
        Fit(memory, needed, None if kib is None else kib * _KIB) for memory, needed, kib in sizes
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is explained above."""
    options = _parse(arguments)
    names = list(NPUS) if options.accelerator == _ALL else [options.accelerator]
    with (
        reported_errors(),
        tempfile.TemporaryDirectory() as scratch,
        Reporter(_QUIET_S) as report,
    ):
        results = [check(options.model, name, options, Path(scratch), report) for name in names]
        weights = weight_tensors(read_uncompiled(options.model))
        if options.html:
            write_page(options.html, options.model.name, results, weights)
    if options.json:
        print(json.dumps([as_json(result, weights) for result in results], indent=1))
    else:
        for result in results:
            print("\n".join(describe(options.model, result, weights)))
    return 0 if all(result.passes for result in results) else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = command_parser("pipeline.check", __doc__)
    parser.add_argument("model", type=Path, help="uncompiled .tflite")
    parser.add_argument("--accelerator", choices=[*NPUS, _ALL], default="ethos-u55-128")
    parser.add_argument("--system-config", default=DEFAULT_SYSTEM, help="default: %(default)s")
    parser.add_argument("--memory-mode", default="Shared_Sram", help="default: %(default)s")
    parser.add_argument("--vela-config", type=Path, help="your own vela.ini, on top of Arm's")
    parser.add_argument("--input", type=Path, help=".npy for one input, .npz by tensor name, with "
                        "or without a leading axis of inferences")  # fmt: skip
    parser.add_argument(
        "--inferences", type=at_least(1), default=20, help="random ones (default 20)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of random inputs")
    parser.add_argument("--sram-kib", type=at_least(1), help="SRAM there is; must hold the arena")
    parser.add_argument("--flash-kib", type=at_least(1), help="flash there is for the model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--html", type=new_file, help="write a page with tables and a timeline")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

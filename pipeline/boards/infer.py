"""Runs any integer model on the board over given inputs, and compares what comes out byte by byte.

python -m pipeline.boards.infer --model keywords.tflite --inputs features.npy
python -m pipeline.boards.infer --model my_vela.tflite --inputs hops.npz --outputs outputs.npz

The model needs no front end. Inputs are .npy for a model with one input, or .npz by tensor name, as
stored integers with one inference per entry of a leading axis; without --inputs they are random. A
state, that is an output <name>_next of an input <name>, is carried over. The outputs are compared
with those of the NPU emulator and, for a model that Vela has not compiled yet, of TFLite Micro.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.boards.board import infer
from pipeline.boards.board_options import (
    add_board_options,
    compile_target,
    open_board,
    with_progress,
)
from pipeline.boards.deployment import compiled_form, package_model
from pipeline.cli import DEBUG, DEBUG_HELP, new_file, reported_errors
from pipeline.deployed import Deployed
from pipeline.ethosu.golden_process import GoldenProcess
from pipeline.progress import Reporter
from pipeline.runners import Array, TargetError, TensorSpec, states_of
from pipeline.runners.emulator import EmulatorRunner

_QUIET_S = 5.0
_RANDOM_INFERENCES = 4

Tensors = dict[str, Array]


def main(arguments: list[str] | None = None) -> None:
    """Command line; exits with 1 where bytes differ."""
    options = _parse(arguments)
    with reported_errors():
        differing = _run(options)
    raise SystemExit(int(differing > 0))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.boards.infer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a .tflite")
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="default: random integers")
    parser.add_argument("--outputs", type=new_file, metavar="FILE", help="write them to this .npz")
    add_board_options(parser)
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    model, target = Deployed.load(options.model), compile_target(options)
    with tempfile.TemporaryDirectory() as scratch, Reporter(_QUIET_S) as report:
        package = package_model(model, Path(scratch), target, front_end=None)
        inputs = (
            read_inputs(options.inputs, package.inputs)
            if options.inputs
            else random_inputs(package.inputs)
        )
        watched = functools.partial(report, options.model.stem, total=len(inputs))
        outputs, log = infer(with_progress(open_board(options), watched), package, inputs)
        compiled = compiled_form(
            model, Path(scratch), target, options.memory_mode or model.card.memory_mode
        )
        emulator = EmulatorRunner(compiled)
    states = {name: emulator.inputs[name].zeros() for name in states_of(emulator)}
    expected = {"the emulator": run_reference(emulator.step, states, inputs)}
    if not model.is_compiled:
        with GoldenProcess("tflm", options.model) as golden:
            expected["TFLite Micro"] = run_reference(golden.invoke, states, inputs)
    assert log.summary is not None
    print(
        f"{options.model}: {len(inputs)} inferences on the {options.board} board, "
        f"{log.summary.npu_total_cycles / len(inputs):,.0f} NPU cycles each"
    )
    differing = 0
    for name, reference in expected.items():
        compared, different = count_differences(outputs, reference)
        differing += different
        print(f"{different:,} of {compared:,} output bytes differ from {name}")
    if options.outputs:
        _write(options.outputs, outputs)
    return differing


def read_inputs(path: Path, specs: Sequence[TensorSpec]) -> list[Tensors]:
    """Inputs of every inference from a .npy or .npz file.

    Raises:
        TargetError: no such file, other tensors than the model's, another shape or type, or
            different numbers of inferences; the text names the file.
    """
    arrays = _load(path, specs)
    expected = {spec.name for spec in specs}
    if arrays.keys() != expected:
        raise TargetError(f"{path} holds {sorted(arrays)}; the model takes {sorted(expected)}")
    for spec in specs:
        values = arrays[spec.name]
        if values.dtype != spec.dtype or values.shape[1:] != spec.shape:
            raise TargetError(
                f"{path}: {spec.name!r} is {values.dtype}{list(values.shape)}; expected "
                f"{spec.dtype}{['inferences', *spec.shape]}"
            )
    counts = {len(values) for values in arrays.values()}
    if len(counts) != 1 or counts == {0}:
        raise TargetError(f"{path}: holds {sorted(counts)} inferences; expected one number above 0")
    return [{name: values[index] for name, values in arrays.items()} for index in range(*counts)]


def _load(path: Path, specs: Sequence[TensorSpec]) -> Tensors:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                if len(specs) != 1:
                    names = sorted(spec.name for spec in specs)
                    raise TargetError(
                        f"{path}: the model takes {names}; give a .npz that holds them"
                    )
                return {specs[0].name: _with_inferences(loaded, specs[0])}
            return {
                spec.name: _with_inferences(loaded[spec.name], spec)
                for spec in specs
                if spec.name in loaded
            } | {name: loaded[name] for name in loaded if name not in {s.name for s in specs}}
    except OSError as error:
        raise TargetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, MemoryError) as error:
        if isinstance(error, TargetError):
            raise
        raise TargetError(f"{path}: not a sound .npy or .npz file of numbers ({error})") from error


def _with_inferences(values: Array, spec: TensorSpec) -> Array:
    """A single inference may come without the leading axis."""
    return values[None] if values.shape == spec.shape else values


def random_inputs(specs: Sequence[TensorSpec], count: int = _RANDOM_INFERENCES) -> list[Tensors]:
    """Integers over each tensor's whole range, always the same."""
    rng = np.random.default_rng(0)

    def draw(spec: TensorSpec) -> Array:
        info = np.iinfo(spec.dtype)
        return rng.integers(info.min, info.max, spec.shape, spec.dtype, endpoint=True)

    return [{spec.name: draw(spec) for spec in specs} for _ in range(count)]


def run_reference(
    invoke: Callable[[Tensors], Tensors],
    zero_states: Mapping[str, Array],
    inputs: Sequence[Mapping[str, Array]],
) -> list[Tensors]:
    """Outputs of each inference, with the states carried over and left out.

    Args:
        invoke: one inference, all inputs by name to all outputs by name.
        zero_states: the inputs that are fed back, as they are in the first inference.
        inputs: the others, of each inference.
    """
    states = dict(zero_states)
    outputs = []
    for values in inputs:
        results = dict(invoke({**values, **states}))
        states = {name: results.pop(f"{name}_next") for name in states}
        outputs.append(results)
    return outputs


def count_differences(
    actual: Sequence[Mapping[str, Array]], expected: Sequence[Mapping[str, Array]]
) -> tuple[int, int]:
    """Bytes compared, and how many of them differ.

    Raises:
        TargetError: an expected output is not there.
    """
    compared = different = 0
    for ours, theirs in zip(actual, expected, strict=True):
        if ours.keys() != theirs.keys():
            raise TargetError(f"outputs are {sorted(ours)}; expected {sorted(theirs)}")
        for name, values in ours.items():
            mine = np.frombuffer(values.tobytes(), np.uint8)
            other = np.frombuffer(theirs[name].tobytes(), np.uint8)
            compared += mine.size
            different += int(np.count_nonzero(mine != other))
    return compared, different


def _write(path: Path, outputs: Sequence[Mapping[str, Array]]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    stacked = {name: np.stack([values[name] for values in outputs]) for name in outputs[0]}
    with partial.open("wb") as file:
        _save(file, stacked)
    os.replace(partial, path)


def _save(file: IO[bytes], arrays: Tensors) -> None:
    np.savez(file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

"""Runs a Vela-compiled model on the bit-exact Ethos-U55 emulator.

python -m pipeline.emulate model_vela.tflite --golden model.tflite --input hops.npz
python -m pipeline.emulate model_vela.tflite --dump
python -m pipeline.emulate model_vela.tflite --counters --trace timeline.json

Exit code 0: what was asked for is done, and nothing differs; 1: outputs differ from those of
--golden, or --check found hazards; 2: it cannot be done, with the reason.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from pipeline.artefacts import write_atomically
from pipeline.cli import at_least, command_parser, new_file, reported_errors
from pipeline.errors import InputError
from pipeline.ethosu import Emulator, VelaModel, load_vela_model, memory_system
from pipeline.ethosu.cost import ProgramCost
from pipeline.ethosu.golden import GOLDENS, Arrays, Golden
from pipeline.ethosu.golden_process import GoldenProcess
from pipeline.ethosu.listing import list_program, operation_name
from pipeline.ethosu.program import build_program
from pipeline.ethosu.stimuli import Feedback, random_inputs, read_inputs
from pipeline.ethosu.stream import decode_commands
from pipeline.ethosu.trace import chrome_trace
from pipeline.ethosu.verification import Tally
from pipeline.reporting.table import Table

_ROUNDING = (
    "TFLite's kernels round an int8 FULLY_CONNECTED once, TFLite Micro's and the NPU twice: single "
    "steps between the two are no fault of the compiled model (docs/ethosu.md lists all such "
    "operators)"
)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is explained above."""
    options = _parser().parse_args(arguments)
    with reported_errors():
        return int(_run(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("pipeline.emulate", __doc__)
    parser.epilog = f"Without an option the model's tensors are listed. {_ROUNDING}."
    parser.add_argument("model", type=Path, help="Vela output: .tflite, or raw .npz")
    parser.add_argument("--input", type=Path, help=".npy for one input, .npz by tensor name; a "
                        "leading axis runs one inference per entry; default: random")  # fmt: skip
    parser.add_argument("--output", type=new_file, help="write outputs to this .npz")
    parser.add_argument("--golden", type=Path, help="uncompiled .tflite to compare with")
    parser.add_argument("--golden-interpreter", choices=GOLDENS, default="tflm",
                        help="whose reference kernels run it (default tflm)")  # fmt: skip
    parser.add_argument("--state", action="append", default=[], metavar="OUTPUT=INPUT",
                        help="feed an output back into an input; repeatable")  # fmt: skip
    parser.add_argument("--reset-every", type=at_least(1), metavar="N",
                        help="start variable tensors and fed back inputs at their zero points "
                        "again before every N-th inference; default: once")  # fmt: skip
    parser.add_argument(
        "--inferences", type=at_least(1), default=1, help="how many, without --input"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of random input")
    parser.add_argument("--dump", action="store_true", help="list commands and operations")
    parser.add_argument("--check", action="store_true", help="report hazards")
    parser.add_argument("--counters", action="store_true", help="print the cost of each operation")
    parser.add_argument("--trace", type=new_file, help="write a Chrome/Perfetto timeline")
    parser.add_argument("--benchmark", action="store_true", help="print inferences per second")
    parser.add_argument("--system-config", default="Ethos_U55_High_End_Embedded")
    parser.add_argument("--memory-mode", default="Shared_Sram")
    return parser


def _run(options: argparse.Namespace) -> bool:
    """Does what is asked for; returns whether anything differs or is a hazard."""
    model = load_vela_model(options.model)
    infers = options.input or options.output or options.golden or options.state
    if options.dump:
        commands = list(decode_commands(model.command_words))
        for line in list_program(commands, build_program(commands)):
            print(line)
    emulator = Emulator(model)
    failed = False
    if options.check:
        hazards = emulator.check()
        print("\n".join(map(str, hazards)) or "no hazards")
        failed |= bool(hazards)
    if options.counters or options.trace:
        _report_cost(emulator, options)
    if options.benchmark:
        print(
            f"{_inferences_per_second(emulator):.1f} inferences per second of one core (emulator)"
        )
    if infers:
        failed |= _infer(emulator, options)
    elif not (options.dump or options.check or options.counters or options.trace
              or options.benchmark):  # fmt: skip
        print("\n".join(_interface(model)))
    return failed


def _interface(model: VelaModel) -> Iterator[str]:
    yield f"{model.accelerator}, {model.scratch_bytes} bytes of arena"
    for kind in ("inputs", "outputs", "variables"):
        for spec in getattr(model, kind):
            yield (
                f"{kind.removesuffix('s'):9s} {spec.name}  {spec.dtype.name}{list(spec.shape)} "
                f"scale {spec.scale:g} zero point {spec.zero_point}"
            )


def _infer(emulator: Emulator, options: argparse.Namespace) -> bool:
    """Runs the requested inferences; returns whether anything differs from the golden model."""
    feedback = Feedback(options.state, emulator.model)
    results: list[Arrays] = []
    tally = Tally()
    with ExitStack() as stack:
        golden = None
        if options.golden:
            process = stack.enter_context(GoldenProcess(options.golden_interpreter, options.golden))
            golden = _NamedGolden(process, emulator.model, options)
        for number, inputs in enumerate(_inputs(feedback, options)):
            if number % (options.reset_every or sys.maxsize) == 0:
                states = feedback.start()
                emulator.reset()
                if golden:
                    golden.reset()
            outputs = emulator.invoke(inputs | states)
            results.append(outputs)
            if golden:
                tally.add(outputs, golden.invoke(inputs | states))
            states = feedback.carry(outputs)
    if golden:
        if not tally.elements:
            raise InputError("nothing was compared: the model has no output elements")
        print(f"{tally} over {len(results)} inferences")
        if tally.mismatches and options.golden_interpreter == "tflite":
            print(_ROUNDING)
    if options.output:
        stacked = {name: np.stack([r[name] for r in results]) for name in results[0]}
        archive = io.BytesIO()
        np.savez(archive, **stacked)  # type: ignore[arg-type]
        write_atomically(options.output, archive.getvalue())
    return tally.mismatches > 0


class _NamedGolden:
    """The uncompiled model under the tensor names of the compiled one.

    Vela's raw output keeps no names, so its tensors are matched by position.
    """

    def __init__(self, golden: Golden, model: VelaModel, options: argparse.Namespace) -> None:
        self._golden = golden
        self.reset = golden.reset
        by_position = options.model.suffix == ".npz"
        self._inputs, self._outputs = (
            _matched([spec.name for spec in specs], names, options.golden, by_position)
            for specs, names in (
                (model.inputs, self._golden.inputs),
                (model.outputs, self._golden.outputs),
            )
        )

    def invoke(self, inputs: Arrays) -> Arrays:
        """Inputs and outputs by the compiled model's names."""
        outputs = self._golden.invoke({self._inputs[n]: values for n, values in inputs.items()})
        return {name: outputs[golden] for name, golden in self._outputs.items()}


def _matched(
    names: list[str], golden: tuple[str, ...], path: Path, by_position: bool
) -> dict[str, str]:
    """Compiled name -> golden name."""
    if len(names) != len(golden) or not (by_position or set(names) == set(golden)):
        raise InputError(
            f"{path} has tensors {sorted(golden)}, the compiled model {sorted(names)}; give the "
            "file that it was compiled from"
        )
    return dict(zip(names, golden if by_position else names, strict=True))


def _inputs(feedback: Feedback, options: argparse.Namespace) -> Iterator[Arrays]:
    """Free inputs of each inference."""
    if options.input is not None:
        yield from read_inputs(options.input, feedback.free_inputs)
        return
    rng = np.random.default_rng(options.seed)
    for _ in range(options.inferences):
        yield random_inputs(feedback.free_inputs, rng)


def _report_cost(emulator: Emulator, options: argparse.Namespace) -> None:
    system = memory_system(options.system_config, options.memory_mode)
    cost = emulator.cost(system)
    if options.counters:
        print(f"emulator cycle model, {emulator.accelerator.name}, {system.name}")
        counters = [(name.upper(), str(value)) for name, value in vars(cost.counters).items()]
        for table in (_operations(cost), Table.of("", ("counter", "value"), counters)):
            print("\n".join(table.text()))
    if options.trace:
        write_atomically(options.trace, json.dumps(chrome_trace(cost, system)))


def _operations(cost: ProgramCost) -> Table:
    parts = ("compute", "MAC", "decode", "output", "AXI0", "AXI1", "MACs")
    columns = ("operation", "", "cycles", *parts)
    lines = []
    for number, item in enumerate(cost.operations):
        compute = item.compute
        values = (
            *(item.cycles, compute.total, compute.mac, compute.weight_decode, compute.output),
            *(*item.port_cycles, item.macs),
        )
        lines.append((str(number), operation_name(item.operation), *map(str, values)))
    return Table.of("", columns, lines, texts=2)


def _inferences_per_second(emulator: Emulator, seconds: float = 2.0) -> float:
    """In processor time, so that other load on the machine does not count."""
    inputs = {s.name: np.full(s.shape, s.zero_point, s.dtype) for s in emulator.model.inputs}
    emulator.invoke(inputs)
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        emulator.invoke(inputs)
        count += 1
    return count / (time.process_time() - start)


if __name__ == "__main__":
    sys.exit(main())

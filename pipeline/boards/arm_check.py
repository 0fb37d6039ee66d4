"""Arm's TFLite Micro runner against TFLite's reference kernels, byte for byte.

    python -m pipeline.boards.arm_check

Every model of a folder runs in Arm's prebuilt image on the virtual board: compiled by Vela, through
Arm's driver, on the NPU; and as it is, through CMSIS-NN, on the CPU. The input is real noisy
speech, hop after hop with the state of the reference fed back; all outputs are compared.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.boards import PLUGIN
from pipeline.boards.arm_runner import ArmRunner
from pipeline.boards.board_options import models_in
from pipeline.boards.mixtures import FULL_SCALE, board_mixtures
from pipeline.cli import DEBUG, DEBUG_HELP, at_least, reported_errors
from pipeline.deployed import Deployed
from pipeline.dsp import analyse
from pipeline.ethosu import vela
from pipeline.reporting.table import Table
from pipeline.runners import Array, HopModel, HopStream, ModelInterface, Runner
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner

# Speech has begun by then.
_FIRST_HOP = 60


@dataclass
class Comparison:
    """One form of a model in Arm's runner, and how its outputs compare so far."""

    is_on_npu: bool
    content: bytes
    interface: ModelInterface
    compared_bytes: int = 0
    differing_bytes: int = 0
    metrics: Mapping[str, int] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """In words."""
        return "NPU, Arm's driver" if self.is_on_npu else "CPU, CMSIS-NN"

    def add(
        self, runner: ArmRunner, inputs: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> None:
        """Run one hop and compare every output."""
        run = runner.run(self.content, self.interface, inputs)
        self.metrics = run.metrics
        for name, values in expected.items():
            actual = run.outputs[name].view(np.uint8)
            self.compared_bytes += actual.size
            self.differing_bytes += int(np.count_nonzero(actual != values.view(np.uint8)))


class _Compared:
    """The reference, which every form has to follow in each step."""

    def __init__(self, reference: Runner, runner: ArmRunner, forms: list[Comparison]) -> None:
        self.inputs, self.outputs = reference.inputs, reference.outputs
        self._reference, self._runner, self._forms = reference, runner, forms

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of the reference."""
        expected = self._reference.step(inputs)
        for form in self._forms:
            form.add(self._runner, inputs, expected)
        return expected


def main() -> None:
    """Command line; exits with 1 where bytes differ."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.boards.arm_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.add_argument("--models", type=Path, default=Path("tflite_models"), metavar="FOLDER")
    parser.add_argument("--plugin", type=Path, default=PLUGIN, help="default: %(default)s")
    parser.add_argument("--hops", type=at_least(1), default=8)
    options = parser.parse_args()
    rows, failed = [], False
    with reported_errors():
        for model in models_in(options.models):
            for done in compare(model, ArmRunner(options.plugin), options.hops):
                failed |= done.differing_bytes > 0
                cycles = f"{done.metrics['NPU TOTAL']:,}" if done.is_on_npu else "-"
                compared = (f"{done.compared_bytes:,}", f"{done.differing_bytes:,}")
                rows.append((model.stem, done.form, str(options.hops), *compared, cycles))
    columns = ("Model", "Runs on", "Hops", "Output bytes", "That differ", "NPU cycles (emulator)")
    print(Table.of("", columns, rows, texts=2).markdown(), end="")
    raise SystemExit(int(failed))


def compare(model: Path, runner: ArmRunner, hops: int) -> list[Comparison]:
    """Run a model with a card on NPU and CPU for some hops of a published mixture.

    Raises:
        TargetError, EthosUError: the model or its card is not sound, or Vela cannot map it.
        BoardError: Arm's runner failed.
    """
    deployed = Deployed.load(model)
    reference = TfliteRunner(model)
    with tempfile.TemporaryDirectory() as scratch:
        compiled = vela.compile(
            model, Path(scratch), "ethos-u55-128", memory_mode=deployed.card.memory_mode
        ).path
        forms = [
            Comparison(True, compiled.read_bytes(), EmulatorRunner(compiled)),
            Comparison(False, model.read_bytes(), reference),
        ]
    noisy = board_mixtures(per_snr=1)[0].noisy
    _, features = analyse(np.divide(noisy, FULL_SCALE, dtype=np.float32), deployed.front_end)
    stored = reference.inputs[HopModel.of(reference).features].quantize(features)
    HopStream(_Compared(reference, runner, forms))(stored[_FIRST_HOP : _FIRST_HOP + hops])
    return forms


if __name__ == "__main__":
    main()

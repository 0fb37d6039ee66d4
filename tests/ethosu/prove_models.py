"""Trained models on real audio: the compiled stream in the emulator against TFLite, hop by hop.

    python tests/ethosu/prove_models.py tflite_models/*.tflite

Every model is compiled for all four U55 configurations. Noisy speech from the recordings in this
package goes in, each side feeds its own state back, and every output of every hop is compared,
states included. Exits with status 1 on any mismatching byte.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from ethosu_reference import ACCELERATOR_MACS, vela_compile

from pipeline.boards.mixtures import FULL_SCALE, board_mixtures
from pipeline.deployed import Deployed
from pipeline.dsp import HOP_SAMPLES, analyse
from pipeline.runners import Array, HopModel, HopStream, Runner
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner

REFERENCES = {"tflite": TfliteRunner, "tflm": TflmRunner}


@dataclass(frozen=True)
class Proof:
    """Hops streamed, output bytes compared, and how many of them differ."""

    hops: int
    output_bytes: int
    mismatching_bytes: int


def noisy_speech(hops: int) -> NDArray[np.float32]:
    """Test mixtures one after the other, float32 [hops * 256]."""
    noisy = np.concatenate([mixture.noisy for mixture in board_mixtures()])
    if len(noisy) < hops * HOP_SAMPLES:
        raise ValueError(
            f"the test mixtures hold {len(noisy) // HOP_SAMPLES} hops, {hops} were asked for"
        )
    return np.divide(noisy[: hops * HOP_SAMPLES], FULL_SCALE, dtype=np.float32)


class Recorded:
    """A runner that keeps what it has put out."""

    def __init__(self, runner: Runner) -> None:
        self.inputs, self.outputs = runner.inputs, runner.outputs
        self._runner = runner
        self.made: list[dict[str, Array]] = []

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.made.append(self._runner.step(inputs))
        return self.made[-1]


def prove(model: Path, macs: int, reference: Runner, noisy: NDArray[np.float32]) -> Proof:
    """Stream through the emulator and the reference, each with its own state."""
    emulator = EmulatorRunner(vela_compile(model.read_bytes(), macs))
    _, real = analyse(noisy, Deployed.load(model).front_end)
    features = emulator.inputs[HopModel.of(emulator).features]
    stored = features.quantize(real[: len(noisy) // HOP_SAMPLES])
    ours, theirs = Recorded(emulator), Recorded(reference)
    for recorded in (ours, theirs):
        HopStream(recorded)(stored)
    compared = mismatching = 0
    for actual, expected in zip(ours.made, theirs.made, strict=True):
        for name, values in expected.items():
            differing = values.view(np.uint8) != actual[name].view(np.uint8)
            compared += differing.size
            mismatching += int(np.count_nonzero(differing))
    return Proof(len(stored), compared, mismatching)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help=".tflite files, each with its card")
    parser.add_argument("--hops", type=int, default=1000)
    parser.add_argument("--against", choices=REFERENCES, default="tflite")
    options = parser.parse_args()
    noisy = noisy_speech(options.hops)
    failed = False
    for model in options.models:
        reference = REFERENCES[options.against](model)
        for macs in ACCELERATOR_MACS:
            proof = prove(model, macs, reference, noisy)
            failed |= proof.mismatching_bytes > 0
            print(
                f"{model.stem}, U55-{macs}: {proof.mismatching_bytes} of {proof.output_bytes} "
                f"output bytes differ from {options.against} over {proof.hops} hops"
            )
    sys.exit(int(failed))


if __name__ == "__main__":
    main()

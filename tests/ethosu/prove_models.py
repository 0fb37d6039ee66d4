"""Trained models on real audio: the compiled stream in the emulator against TFLite, hop by hop.

    python tests/ethosu/prove_models.py tflite_models/*.tflite

Every model is compiled for all four U55 configurations. Noisy speech from the recordings in this
package goes in, each side feeds its own state back, and every output of every hop is compared,
states included. Exits with status 1 on any mismatching byte.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from ethosu_reference import ACCELERATOR_MACS, vela_compile

from pipeline.boards.mixtures import FULL_SCALE, board_mixtures
from pipeline.deployed import Deployed
from pipeline.dsp import HOP_SAMPLES, analyse
from pipeline.runners import HopModel, Runner
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


def prove(model: Path, macs: int, reference: Runner, noisy: NDArray[np.float32]) -> Proof:
    """Stream through the emulator and the reference, each with its own state."""
    emulator = EmulatorRunner(vela_compile(model.read_bytes(), macs))
    roles = HopModel.of(emulator)
    _, real = analyse(noisy, Deployed.load(model).front_end)
    features = emulator.inputs[roles.features].quantize(real[: len(noisy) // HOP_SAMPLES])
    ours = theirs = {name: emulator.inputs[name].zeros() for name in roles.states}
    compared = mismatching = 0
    for hop in features:
        actual = emulator.step({roles.features: hop[None], **ours})
        expected = reference.step({roles.features: hop[None], **theirs})
        for name, values in expected.items():
            differing = values.view(np.uint8) != actual[name].view(np.uint8)
            compared += differing.size
            mismatching += int(np.count_nonzero(differing))
        ours = {name: actual[f"{name}_next"] for name in roles.states}
        theirs = {name: expected[f"{name}_next"] for name in roles.states}
    return Proof(len(features), compared, mismatching)


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

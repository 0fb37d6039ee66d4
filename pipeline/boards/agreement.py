"""How far a board's result is from the host pipeline's for the same audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.boards.board import Board, Enhanced
from pipeline.boards.deployment import measure
from pipeline.boards.journal import Row
from pipeline.boards.mixtures import FULL_SCALE, BoardMixture, to_pcm
from pipeline.boards.package import ModelPackage
from pipeline.deployed import Deployed
from pipeline.dsp import FrontEnd, analyse, istft
from pipeline.metrics.quality import si_sdr_db
from pipeline.runners import HopModel, Runner, stream
from pipeline.runners.tflite import TfliteRunner


@dataclass(frozen=True)
class Agreement:
    """A board's result beside the host's.

    Attributes:
        host_samples: int16 [N], what the host makes of the noisy samples.
        mask_values: how many stored mask values the board computed.
        mask_mismatches: how many of them the host's runner computes differently from the board's
            features: integer arithmetic, so 0.
        feature_steps: largest difference of a stored feature.
        sample_steps: largest difference between the board's samples and the host's synthesis from
            the board's mask, in steps of 16 bits.
    """

    host_samples: NDArray[np.int16]
    mask_values: int
    mask_mismatches: int
    feature_steps: int
    sample_steps: int


def compare_with_host(
    result: Enhanced, runner: Runner, front_end: FrontEnd, noisy: NDArray[np.int16]
) -> Agreement:
    """Enhance int16 [N] samples on the host and compare stage by stage.

    Args:
        result: what the board made of them.
        runner: the reference of the integer network.
        front_end: of the model.
        noisy: what went in.

    Raises:
        ValueError: the board returned another number of samples.
    """
    if result.samples.shape != noisy.shape:
        raise ValueError(f"{noisy.shape} samples went in, {result.samples.shape} came out")
    roles = HopModel.of(runner)
    mask_spec = runner.outputs[roles.mask]
    spectrum, real_features = analyse(np.divide(noisy, FULL_SCALE, dtype=np.float32), front_end)
    features = runner.inputs[roles.features].quantize(real_features)

    def synthesis(mask: NDArray[np.integer]) -> NDArray[np.int16]:
        gains = front_end.gains(mask_spec.dequantize(mask))
        return to_pcm(istft(spectrum * gains, len(noisy)))

    mask = stream(runner, result.features)
    return Agreement(
        host_samples=synthesis(stream(runner, features)),
        mask_values=mask.size,
        mask_mismatches=int(np.count_nonzero(mask != result.mask)),
        feature_steps=_largest_difference(features, result.features),
        sample_steps=_largest_difference(synthesis(result.mask), result.samples),
    )


def on_board(
    board: Board, package: ModelPackage, model: Deployed, mixture: BoardMixture, run: str
) -> Row:
    """What a board makes of a mixture, what it costs, and how far it is from the host.

    Args:
        board: where.
        package: of the model.
        model: not compiled: what the host runs.
        mixture: what goes in.
        run: what to file the row under.

    Raises:
        as `pipeline.boards.board.enhance`.
    """
    measured = measure(board, package, mixture.noisy)
    samples = measured.result.samples
    host = TfliteRunner(model.tflite)
    agreement = compare_with_host(measured.result, host, model.front_end, mixture.noisy)
    noisy, ours, theirs = (
        si_sdr_db(mixture.clean, audio.astype(np.float32))
        for audio in (mixture.noisy, samples, agreement.host_samples)
    )
    return Row(
        run=run,
        model=model.name,
        mixture=mixture.name,
        engine=measured.engine,
        package_bytes=measured.package_bytes,
        arena_bytes=measured.arena_bytes,
        npu_cycles=measured.npu_cycles,
        cpu_ticks=measured.cpu_ticks,
        noisy_si_sdr_db=noisy,
        board_si_sdr_db=ours,
        host_si_sdr_db=theirs,
        mask_values=agreement.mask_values,
        mask_mismatches=agreement.mask_mismatches,
        feature_steps=agreement.feature_steps,
        sample_steps=agreement.sample_steps,
    )


def _largest_difference(a: NDArray[np.integer], b: NDArray[np.integer]) -> int:
    return int(np.abs(a.astype(np.int32) - b.astype(np.int32)).max())

"""Every engine of the firmware against TFLite's reference kernels, byte for byte.

python -m pipeline.boards.engines
python -m pipeline.boards.engines --firmware build/firmware/tflm/.../enhancer.elf --engines tflm

Every model runs over hops of real noisy speech, its state carried over on the board; every byte of
every mask is compared. An engine is part of the image or not: `tflm` and `tflm-cpu` need one
that was built with TensorFlow Lite Micro.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from pipeline.boards.board import Board, infer
from pipeline.boards.board_options import (
    add_board_options,
    add_model_options,
    compile_target,
    models_of,
    open_board,
)
from pipeline.boards.deployment import (
    ENGINES,
    CompileTarget,
    DeploymentCard,
    Engine,
    card_path,
    package_model,
)
from pipeline.boards.mixtures import FULL_SCALE, board_mixtures
from pipeline.boards.tables import EngineRow, engine_table
from pipeline.cli import DEBUG, DEBUG_HELP, reported_errors
from pipeline.dsp import analyse
from pipeline.runners import HopModel, HopStream
from pipeline.runners.tflite import TfliteRunner

# Speech has begun by then.
_FIRST_HOP = 60


def main(arguments: list[str] | None = None) -> None:
    """Command line; exits with 1 where bytes differ."""
    options = _parse(arguments)
    with reported_errors():
        board, target = open_board(options), compile_target(options)
        rows = [
            check(board, target, model, engine, options.hops)
            for model in models_of(options)
            for engine in options.engines
        ]
    print("\n".join(engine_table(rows, options.board)))
    raise SystemExit(int(any(row.differing_bytes for row in rows)))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.boards.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["npu"])
    parser.add_argument("--hops", type=int, default=64, help="default: %(default)s")
    add_model_options(parser)
    add_board_options(parser)
    return parser.parse_args(arguments)


def check(board: Board, target: CompileTarget, model: Path, engine: Engine, hops: int) -> EngineRow:
    """Run some hops of a published mixture through one engine and compare every mask.

    Raises:
        TargetError, EthosUError: the model or its card is not sound, or Vela cannot map it.
        BoardError, FirmwareError: the board or the firmware failed, or lacks the engine.
    """
    reference = TfliteRunner(model)
    roles = HopModel.of(reference)
    front_end = DeploymentCard.read(card_path(model)).to_front_end()
    noisy = board_mixtures(per_snr=1)[0].noisy
    _, features = analyse(np.divide(noisy, FULL_SCALE, dtype=np.float32), front_end)
    stored = reference.inputs[roles.features].quantize(features[_FIRST_HOP : _FIRST_HOP + hops])
    expected = HopStream(reference)(stored)
    with tempfile.TemporaryDirectory() as scratch:
        package = package_model(model, Path(scratch), target, engine=engine)
    outputs, log = infer(board, package, [{roles.features: hop[None]} for hop in stored])
    masks = np.concatenate([values[roles.mask] for values in outputs])
    assert log.summary is not None
    return EngineRow(
        model=model.stem,
        engine=engine,
        hops=len(stored),
        compared_bytes=masks.nbytes,
        differing_bytes=int(np.count_nonzero(masks.view(np.uint8) != expected.view(np.uint8))),
        npu_cycles=log.summary.npu_total_cycles / len(stored),
        inference_ticks=log.summary.inference_ticks / len(stored),
    )


if __name__ == "__main__":
    main()

"""Enhances a noisy recording on the virtual board or the FVP, with every model of a folder.

python -m pipeline.boards.demo
python -m pipeline.boards.demo --noisy recording.flac --model my.tflite --accelerator ethos-u55-64
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.boards.board_options import (
    add_board_options,
    add_model_options,
    compile_target,
    models_of,
    open_board,
    with_progress,
)
from pipeline.boards.deployment import Measurement, measure, package_model
from pipeline.boards.firmware_image import ImageSize, image_size
from pipeline.boards.mixtures import board_mixtures, to_pcm
from pipeline.boards.virtual import TICKS_PER_INSTRUCTION
from pipeline.cli import DEBUG, DEBUG_HELP, reported_errors
from pipeline.deployed import Deployed
from pipeline.dsp import HOP_SAMPLES, RATE_HZ
from pipeline.errors import InputError
from pipeline.ethosu import memory_system
from pipeline.metrics.quality import si_sdr_db
from pipeline.progress import Reporter
from pipeline.recordings import RecordingReader
from pipeline.reporting.table import Table

_DEMO_SNR_DB = 3.0
_NOISY = "noisy"
_QUIET_S = 5.0


def main(arguments: list[str] | None = None) -> None:
    """Run the demo from the command line."""
    options = _parse(arguments)
    with reported_errors():
        _run(options)


def _run(options: argparse.Namespace) -> None:
    board, target = open_board(options), compile_target(options)
    models = models_of(options)
    outputs = _outputs(options.out, [model.stem for model in models], options.noisy)
    noisy, clean = _read(options.noisy) if options.noisy else _published_mixture()
    size = image_size(options.firmware)
    options.out.mkdir(parents=True, exist_ok=True)
    _write(outputs[_NOISY], noisy)
    hops = -(-len(noisy) // HOP_SAMPLES) + 1
    rows = {}
    with tempfile.TemporaryDirectory() as scratch, Reporter(_QUIET_S) as report:
        for model in models:
            deployed = Deployed.load(model)
            package = package_model(deployed, Path(scratch), target, front_end=deployed.front_end)
            watched = with_progress(board, functools.partial(report, model.stem, total=hops))
            rows[model.stem] = measure(watched, package, noisy)
            _write(outputs[model.stem], rows[model.stem].result.samples)
    print("\n".join(_lines(rows, size, options, noisy, clean)))
    print(f"enhanced audio: {options.out}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.boards.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.add_argument(
        "--noisy",
        type=Path,
        metavar="FILE",
        help="sound file of any rate, its channels mixed down; default: a published test mixture",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/board"), metavar="FOLDER")
    add_model_options(parser)
    add_board_options(parser)
    return parser.parse_args(arguments)


def _outputs(folder: Path, models: list[str], noisy: Path | None) -> dict[str, Path]:
    """Where each model's audio goes, and under `noisy` what went in.

    Raises:
        InputError: the recording itself would be overwritten, or a model is named "noisy".
    """
    if _NOISY in models:
        raise InputError(f"a model named {_NOISY!r} would overwrite the input; rename it")
    outputs = {name: folder / f"{name}.wav" for name in (_NOISY, *models)}
    for path in outputs.values():
        if noisy is not None and path.exists() and noisy.exists() and path.samefile(noisy):
            raise InputError(f"--out {folder}: {noisy} would be overwritten; choose another folder")
    return outputs


def _read(path: Path) -> tuple[NDArray[np.int16], None]:
    with RecordingReader(path) as recording:
        mono = [block.mean(axis=1, dtype=np.float32) for block in recording.blocks()]
    return to_pcm(np.concatenate(mono)), None


def _published_mixture() -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Noisy and clean of the first test mixture at 3 dB."""
    mixture = next(m for m in board_mixtures(per_snr=1) if m.snr_db == _DEMO_SNR_DB)
    return mixture.noisy, mixture.clean


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    partial = path.with_suffix(".partial.wav")
    with partial.open("wb") as file:
        soundfile.write(file, samples, RATE_HZ, subtype="PCM_16", format="WAV")
    os.replace(partial, path)


def _lines(
    rows: dict[str, Measurement],
    size: ImageSize,
    options: argparse.Namespace,
    noisy: NDArray[np.int16],
    clean: NDArray[np.float32] | None,
) -> list[str]:
    is_virtual = options.board == "virtual"
    per_unit = TICKS_PER_INSTRUCTION if is_virtual else 1.0
    columns = (
        *("model", "engine", "model flash, bytes", "arena, bytes", "SRAM for weights, bytes"),
        f"NPU cycles ({'emulator' if is_virtual else 'fvp'})",
        "CPU instructions (virtual)" if is_virtual else "CPU ticks (fvp)",
        *("real-time factor", "SI-SDR, dB"),
    )
    cells = [
        (
            name,
            row.engine,
            f"{row.package_bytes:,}",
            f"{row.arena_bytes:,}",
            f"{row.weights_in_sram_bytes:,}",
            f"{row.npu_cycles:,.0f}",
            f"{row.cpu_ticks / per_unit:,.0f}",
            f"{row.real_time_factor:.3f}",
            _quality(row.result.samples, noisy, clean),
        )
        for name, row in rows.items()
    ]
    head = (
        f"One 16 ms hop on the {options.board} board with {options.accelerator}; firmware "
        f"without model: {size.flash_bytes:,} bytes flash, {size.ram_bytes:,} bytes RAM"
    )
    lines = [head, *Table.of("", columns, cells, texts=2).text()]
    if is_virtual:
        npu_mhz = memory_system(options.system_config).clock_hz / 1e6
        lines.append(
            "real-time factor: time of a hop / 16 ms, on a CPU of 32 MHz that takes one cycle an "
            f"instruction and an NPU of {npu_mhz:g} MHz"
        )
    return lines


def _quality(
    samples: NDArray[np.int16], noisy: NDArray[np.int16], clean: NDArray[np.float32] | None
) -> str:
    if clean is None:
        return "-"
    before, after = (si_sdr_db(clean, x.astype(np.float32)) for x in (noisy, samples))
    return f"{before:.2f} -> {after:.2f}"


if __name__ == "__main__":
    main()

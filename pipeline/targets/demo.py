"""Enhance a noisy file on the virtual board or the FVP, with every model of a folder.

python -m pipeline.targets.demo --help
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.dsp import RATE_HZ
from pipeline.errors import InputError
from pipeline.metrics.quality import si_sdr_db
from pipeline.targets.board import BoardError
from pipeline.targets.board_options import add_board_options, models_in, open_board
from pipeline.targets.deployment import Measurement, measure, package_model
from pipeline.targets.firmware_image import ImageSize, image_size
from pipeline.targets.mixtures import board_mixtures
from pipeline.targets.protocol import FirmwareError
from pipeline.targets.virtual import TICKS_PER_INSTRUCTION

_DEMO_SNR_DB = 3.0
_TABLE_CHARACTERS = 120


def main() -> None:
    """Run the demo from the command line."""
    options = _parse()
    board = open_board(options)
    try:
        models = models_in(options.models)
        noisy, clean = _read(options.noisy) if options.noisy else _published_mixture()
        options.out.mkdir(parents=True, exist_ok=True)
        _write(options.out / "noisy.wav", noisy)
        rows = {}
        with tempfile.TemporaryDirectory() as scratch:
            for model in models:
                package = package_model(model, Path(scratch))
                rows[model.stem] = measure(board, package, noisy)
                _write(options.out / f"{model.stem}.wav", rows[model.stem].result.samples)
        size = image_size(options.firmware)
    except (ValueError, OSError, BoardError, FirmwareError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    Console(width=_TABLE_CHARACTERS).print(_table(rows, size, options.board, noisy, clean))
    print(f"enhanced audio: {options.out}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.targets.demo", description=__doc__)
    add_board_options(parser)
    parser.add_argument(
        "--noisy", type=Path, help="WAV, 16 kHz mono; default: a published test mixture"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/board"), metavar="FOLDER")
    return parser.parse_args()


def _read(path: Path) -> tuple[NDArray[np.int16], None]:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    if rate_hz != RATE_HZ or samples.ndim != 1:
        raise InputError(f"{path}: {rate_hz} Hz, shape {samples.shape}; expected 16 kHz mono")
    return samples, None


def _published_mixture() -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Noisy and clean of the first test mixture at 3 dB."""
    mixture = next(m for m in board_mixtures(per_snr=1) if m.snr_db == _DEMO_SNR_DB)
    return mixture.noisy, mixture.clean


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    partial = path.with_suffix(".partial.wav")
    soundfile.write(partial, samples, RATE_HZ, subtype="PCM_16")
    os.replace(partial, path)


def _table(
    rows: dict[str, Measurement],
    size: ImageSize,
    board: str,
    noisy: NDArray[np.int16],
    clean: NDArray[np.float32] | None,
) -> Table:
    is_virtual = board == "virtual"
    per_unit = TICKS_PER_INSTRUCTION if is_virtual else 1.0
    table = Table(
        title=f"One 16 ms hop on the {board} board; firmware without model: "
        f"{size.flash_bytes:,} bytes flash, {size.ram_bytes:,} bytes RAM"
    )
    for heading in ("model", "engine"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "model flash\nbytes",
        "arena\nbytes",
        "SRAM for\nweights",
        f"NPU cycles\n({'emulator' if is_virtual else 'fvp'})",
        "CPU\ninstructions" if is_virtual else "CPU\nticks",
        "real-time\nfactor",
        "SI-SDR\ndB",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(
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
    return table


def _quality(
    samples: NDArray[np.int16], noisy: NDArray[np.int16], clean: NDArray[np.float32] | None
) -> str:
    if clean is None:
        return "-"
    before, after = (si_sdr_db(clean, x.astype(np.float32)) for x in (noisy, samples))
    return f"{before:.2f} -> {after:.2f}"


if __name__ == "__main__":
    main()

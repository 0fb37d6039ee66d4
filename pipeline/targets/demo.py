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

import pipeline.corpora
from pipeline.corpora.sources import clips_of
from pipeline.corpora.store import Store, build_store
from pipeline.corpora.testset import load_mixtures
from pipeline.dsp import RATE_HZ
from pipeline.metrics.quality import si_sdr_db
from pipeline.targets.board import Board, BoardError
from pipeline.targets.deployment import ImageSize, Measurement, image_size, measure, package_model
from pipeline.targets.fvp import FvpBoard
from pipeline.targets.protocol import FirmwareError
from pipeline.targets.virtual import TICKS_PER_INSTRUCTION, VirtualBoard

FIRMWARE = Path("build/firmware/board/platform/corstone300/enhancer.elf")
PLUGIN = Path("build/firmware/host/virtual/libnpu.so")
_MIXTURES = Path(pipeline.corpora.__path__[0]) / "mixtures" / "embedded_test.json"
_DEMO_SNR_DB = 3.0
_FULL_SCALE = 32768
_TABLE_CHARACTERS = 120


def main() -> None:
    """Run the demo from the command line."""
    options = _parse()
    board: Board = (
        FvpBoard(options.firmware)
        if options.board == "fvp"
        else VirtualBoard(options.firmware, options.plugin)
    )
    models = sorted(options.models.glob("*.tflite"))
    try:
        if not models:
            raise BoardError(f"{options.models}: no .tflite model there")
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
    parser.add_argument("--board", choices=("virtual", "fvp"), default="virtual")
    parser.add_argument("--models", type=Path, default=Path("tflite_models"), metavar="FOLDER")
    parser.add_argument(
        "--noisy", type=Path, help="WAV, 16 kHz mono; default: a published test mixture"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/board"), metavar="FOLDER")
    parser.add_argument("--firmware", type=Path, default=FIRMWARE, help=argparse.SUPPRESS)
    parser.add_argument("--plugin", type=Path, default=PLUGIN, help=argparse.SUPPRESS)
    return parser.parse_args()


def _read(path: Path) -> tuple[NDArray[np.int16], None]:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    if rate_hz != RATE_HZ or samples.ndim != 1:
        raise ValueError(f"{path}: {rate_hz} Hz, shape {samples.shape}; expected 16 kHz mono")
    return samples, None


def _published_mixture() -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Noisy and clean of the first test mixture at 3 dB."""
    clips = [clip for clip in clips_of("embedded") if clip.split == "test"]
    with tempfile.TemporaryDirectory() as name:
        stores = []
        for role in ("speech", "noise"):
            folder = Path(name) / role
            build_store((clip for clip in clips if clip.role == role), folder)
            stores.append(Store(folder))
        mixtures = load_mixtures(_MIXTURES, *stores)
        mixture = next(m for m in mixtures if m.snr_db == _DEMO_SNR_DB)
        noisy = np.rint(mixture.noisy * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
        return noisy.astype(np.int16), np.array(mixture.clean)


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
    cpu_unit = "instructions" if board == "virtual" else "ticks"
    per_unit = TICKS_PER_INSTRUCTION if board == "virtual" else 1.0
    source = "emulator" if board == "virtual" else "fvp"
    table = Table(
        title=f"One 16 ms hop on the {board} board; firmware without model: "
        f"{size.flash_bytes:,} bytes flash, {size.ram_bytes:,} bytes RAM"
    )
    for heading in ("model", "engine", "model flash B", "arena B", "weights in SRAM B"):
        table.add_column(heading, justify="left" if heading in ("model", "engine") else "right")
    table.add_column(f"NPU cycles ({source})", justify="right")
    table.add_column(f"CPU {cpu_unit}", justify="right")
    table.add_column("real-time factor", justify="right")
    table.add_column("SI-SDR dB", justify="right")
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

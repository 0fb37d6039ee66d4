"""Enhances recordings of any rate, length and number of channels with a trained model.

python -m pipeline.enhance noisy.wav --out enhanced
python -m pipeline.enhance *.flac --model weight80 --through emulator --out enhanced

--model takes the name of a model in tflite_models/, a .tflite file with its card beside it, a
.safetensors file (floating point), or the name of a peer (RNNoise, GTCRN, DTLN). Each channel is
enhanced by itself; what comes out is 16-bit WAV with the rate and channels of the input, and holds
nothing above 8 kHz.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.cli import command_parser, reported_errors
from pipeline.config import Data
from pipeline.dsp import RATE_HZ, FrontEnd, StreamingEnhancer
from pipeline.errors import InputError
from pipeline.progress import Reporter
from pipeline.recordings import FULL_SCALE, RecordingReader, RecordingWriter

MODELS = Path("tflite_models")
DEFAULT_MODEL = "conv-large-int8"
Through = Literal["tflite", "tflm", "emulator", "virtual"]
_QUIET_S = 5.0

Array = NDArray[np.float32]


class ChannelEnhancer(Protocol):
    """Enhances one channel at 16 kHz in blocks; may lag behind what it was given."""

    def process(self, samples: Array) -> Array:
        """Take the next samples, return what has become complete."""
        ...

    def finish(self) -> Array:
        """Return the rest."""
        ...


class WholeChannel:
    """For systems that take a channel at once: collects it, enhances it at the end."""

    def __init__(self, enhance: Callable[[Array], Array]) -> None:
        self._enhance = enhance
        self._blocks: list[Array] = []

    def process(self, samples: Array) -> Array:
        """Collect samples; nothing is complete before the end."""
        self._blocks.append(samples)
        return samples[:0]

    def finish(self) -> Array:
        """Enhance all of them."""
        return self._enhance(np.concatenate(self._blocks))


@dataclass(frozen=True)
class Enhancement:
    """What happened to one file. Levels are of all samples, 0 dBFS being a full-scale square.

    Attributes:
        clipped_in: share of the input samples at full scale.
        clipped_out_samples: samples of the output that had to be limited.
        real_time_factor: computing time over duration, all channels, on this machine; below 1 is
            faster than the recording lasts.
    """

    noisy: str
    enhanced: str
    model: str
    through: str
    duration_s: float
    rate_hz: int
    channels: int
    level_in_dbfs: float
    level_out_dbfs: float
    clipped_in: float
    clipped_out_samples: int
    real_time_factor: float


class _Meter:
    """Level and clipping of blocks that go by."""

    def __init__(self) -> None:
        self._energy, self._samples, self._full = 0.0, 0, 0

    def __call__(self, block: Array) -> None:
        self._energy += float(np.square(block, dtype=np.float64).sum())
        self._samples += block.size
        self._full += int((np.abs(block) >= FULL_SCALE).sum())

    @property
    def level_dbfs(self) -> float:
        """Level, digital silence being -200 dBFS."""
        return round(10 * np.log10(max(self._energy / max(self._samples, 1), 1e-20)), 1)

    @property
    def full_scale_share(self) -> float:
        """Share of the samples at full scale."""
        return self._full / max(self._samples, 1)


def enhance_file(
    noisy: Path,
    enhanced: Path,
    start_channel: Callable[[], ChannelEnhancer],
    model: str,
    through: str,
    on_progress: Callable[[float, float], None] = lambda done_s, duration_s: None,
) -> Enhancement:
    """Enhance one file channel by channel, a second at a time.

    Args:
        noisy, enhanced: what is read, and the WAV file that is written.
        start_channel: makes a fresh enhancer for each channel.
        model, through: what it is, for the record.
        on_progress: told the seconds done and the seconds in all.

    Raises:
        RecordingError: a file cannot be read or written; no partial output is left.
    """
    level_in, level_out = _Meter(), _Meter()
    busy_s = 0.0
    with RecordingReader(noisy) as reader, RecordingWriter(enhanced, reader) as writer:
        channels = [start_channel() for _ in range(reader.channels)]

        def write(pieces: list[Array]) -> None:
            block = np.stack(pieces, axis=1)
            level_out(block)
            writer.write(block)

        done = 0
        for block in reader.blocks():
            level_in(block)
            started = time.perf_counter()
            pieces = [c.process(x) for c, x in zip(channels, block.T, strict=True)]
            busy_s += time.perf_counter() - started
            write(pieces)
            done += len(block)
            on_progress(done / RATE_HZ, reader.duration_s)
        started = time.perf_counter()
        pieces = [channel.finish() for channel in channels]
        busy_s += time.perf_counter() - started
        write(pieces)
    return Enhancement(
        noisy=str(noisy),
        enhanced=str(enhanced),
        model=model,
        through=through,
        duration_s=round(reader.duration_s, 3),
        rate_hz=reader.rate_hz,
        channels=reader.channels,
        level_in_dbfs=level_in.level_dbfs,
        level_out_dbfs=level_out.level_dbfs,
        clipped_in=round(level_in.full_scale_share, 6),
        clipped_out_samples=writer.clipped_samples,
        real_time_factor=round(busy_s / reader.duration_s, 4),
    )


def output_paths(noisy: Sequence[Path], out: Path) -> dict[Path, Path]:
    """`<out>/<name>.wav` for every recording.

    Raises:
        ValueError: two recordings would have one output, or an output is its own input.
    """
    paths: dict[Path, Path] = {}
    for path in noisy:
        target = out / f"{path.stem}.wav"
        if target.resolve() == path.resolve():
            raise InputError(f"--out {out}: {path} would be overwritten; choose another folder")
        for other, taken in paths.items():
            if taken == target and other != path:
                raise InputError(f"{other} and {path} would both be {target}; enhance them apart")
        paths[path] = target
    return paths


def open_model(
    model: str, through: Through, board_files: argparse.Namespace, scratch: Path
) -> tuple[str, Callable[[], ChannelEnhancer]]:
    """Find a model and make what starts an enhancer for a channel.

    Returns:
        How it runs, for the record (`through`, or what the model itself decides), and the maker.

    Raises:
        ValueError: an unknown model or a file that is none; says what there is.
    """
    from pipeline.metrics.peers import PEERS, load_peers

    peer = next((name for name in PEERS if name.lower() == model.lower()), None)
    if peer:
        enhance = load_peers(Data().cache_dir.expanduser(), (peer,))[peer].enhance
        return "peer", lambda: WholeChannel(enhance)
    path = _model_path(model, tuple(PEERS))
    if path.suffix == ".safetensors":
        return "float", _float_maker(path)
    if through == "virtual":
        return through, _board_maker(path, board_files, scratch)
    return through, _integer_maker(path, through, scratch)


def _model_path(model: str, peers: tuple[str, ...]) -> Path:
    candidates = [Path(model), MODELS / f"{model}.tflite", MODELS / f"{model}.safetensors"]
    for path in candidates:
        if path.is_file():
            if path.suffix not in (".tflite", ".safetensors"):
                raise InputError(f"{path}: expected a .tflite or .safetensors file")
            return path
    known = sorted({p.stem for p in MODELS.glob("*") if p.suffix in (".tflite", ".safetensors")})
    raise InputError(f"--model {model}: neither a file nor one of {', '.join([*known, *peers])}")


def _integer_maker(
    model: Path, through: Literal["tflite", "tflm", "emulator"], scratch: Path
) -> Callable[[], ChannelEnhancer]:
    from pipeline.deployed import Deployed
    from pipeline.ethosu import vela
    from pipeline.runners import HopStream
    from pipeline.runners.by_name import load_runner

    deployed = Deployed.load(model)
    front_end, compiled = deployed.front_end, model
    if through == "emulator":
        compiled = vela.compile(model, scratch, memory_mode=deployed.card.memory_mode).path
    runner = load_runner(through, model, compiled)
    return lambda: StreamingEnhancer(front_end, HopStream(runner).real)


def _float_maker(path: Path) -> Callable[[], ChannelEnhancer]:
    from pipeline.keras import limit_threads, tf
    from pipeline.networks.trained import Trained

    limit_threads(1)
    trained = Trained.load(path)
    network = trained.build()
    hop = tf.function(network.hop)

    def mask_stream() -> Callable[[Array], Array]:
        memory = network.start()

        def mask(features: Array) -> Array:
            nonlocal memory
            masks = []
            for frame in features:
                gains, memory = hop(tf.constant(frame[None]), memory)
                masks.append(gains.numpy()[0])
            return np.stack(masks)

        return mask

    front_end: FrontEnd = trained.front_end
    return lambda: StreamingEnhancer(front_end, mask_stream())


def _board_maker(
    model: Path, board_files: argparse.Namespace, scratch: Path
) -> Callable[[], ChannelEnhancer]:
    from pipeline.boards.board import enhance
    from pipeline.boards.deployment import package_model
    from pipeline.boards.mixtures import FULL_SCALE as INT16_SCALE
    from pipeline.boards.mixtures import to_pcm
    from pipeline.boards.virtual import VirtualBoard
    from pipeline.deployed import Deployed

    board = VirtualBoard(board_files.firmware, board_files.plugin)
    deployed = Deployed.load(model)
    package = package_model(deployed, scratch, front_end=deployed.front_end)

    def on_board(samples: Array) -> Array:
        enhanced = enhance(board, package, to_pcm(samples)).samples
        return enhanced.astype(np.float32) / np.float32(INT16_SCALE)

    return lambda: WholeChannel(on_board)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    options = _parse(arguments)
    with reported_errors(), tempfile.TemporaryDirectory() as scratch:
        targets = output_paths(options.recordings, options.out)
        for recording in targets:
            RecordingReader(recording).close()
        through, start_channel = open_model(options.model, options.through, options, Path(scratch))
        options.out.mkdir(parents=True, exist_ok=True)
        results = []
        with Reporter(_QUIET_S) as report:
            for noisy, enhanced in targets.items():
                results.append(
                    enhance_file(
                        noisy,
                        enhanced,
                        start_channel,
                        options.model,
                        through,
                        functools.partial(report, noisy.name),
                    )
                )
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        for result in results:
            print(_line(result))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    from pipeline.boards import FIRMWARE, PLUGIN

    parser = command_parser("pipeline.enhance", __doc__)
    parser.add_argument("recordings", type=Path, nargs="+", help="sound files")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument(
        "--through",
        choices=get_args(Through),
        default="tflite",
        help="what runs an integer model: TFLite's or TFLite Micro's reference kernels, the NPU "
        "emulator, or the firmware on the virtual board (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--firmware", type=Path, default=FIRMWARE, help=argparse.SUPPRESS)
    parser.add_argument("--plugin", type=Path, default=PLUGIN, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _line(result: Enhancement) -> str:
    clipping = f", {100 * result.clipped_in:.2f} % of it at full scale" if result.clipped_in else ""
    limited = (
        f", {result.clipped_out_samples} samples limited" if result.clipped_out_samples else ""
    )
    return (
        f"{result.enhanced}: {result.duration_s:.1f} s, {result.channels} x {result.rate_hz} Hz, "
        f"{result.level_in_dbfs:.1f} dBFS{clipping} -> {result.level_out_dbfs:.1f} dBFS{limited}; "
        f"{result.model} ({result.through}), real-time factor {result.real_time_factor:.3f}"
    )


if __name__ == "__main__":
    main()

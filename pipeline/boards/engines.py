"""Every engine of the firmware, on every processor, against TFLite's reference kernels.

    python -m pipeline.boards.engines
    python -m pipeline.boards.engines --engines npu tflm tflm-cpu --processors cortex-m55 cortex-m7

Every model enhances hops of real noisy speech; every value of every mask is compared with TFLite's
for the same features, and the audio with the host's. Instructions are counted by QEMU. Engines
`tflm` and `tflm-cpu`, and processors without an NPU, need images with TensorFlow Lite Micro: `make
firmware-tflm`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Literal, get_args

from pipeline.boards import FIRMWARE, PLUGIN, qemu
from pipeline.boards.agreement import compare_with_host
from pipeline.boards.board import Board
from pipeline.boards.board_options import (
    add_model_options,
    add_target_options,
    compile_target,
    models_of,
)
from pipeline.boards.deployment import (
    ENGINES,
    CompileTarget,
    Engine,
    measure,
    package_model,
)
from pipeline.boards.energy import BEAT_BYTES, hop_energy_uj
from pipeline.boards.firmware_image import image_size
from pipeline.boards.mixtures import board_mixtures
from pipeline.boards.mps2 import Mps2Board, Mps2Processor
from pipeline.boards.npu_model import EmulatedNpu
from pipeline.boards.tables import EngineRow, engine_table
from pipeline.boards.virtual import VirtualBoard
from pipeline.cli import DEBUG, DEBUG_HELP, at_least, reported_errors
from pipeline.deployed import Deployed
from pipeline.dsp import HOP_SAMPLES
from pipeline.ethosu.npu import get_npu
from pipeline.runners.tflite import TfliteRunner

Processor = Literal["cortex-m55", Mps2Processor]
PROCESSORS: tuple[Processor, ...] = get_args(Processor)
_BUILD = Path("build/firmware")
_TFLM_FIRMWARE: dict[Processor, Path] = {
    "cortex-m55": _BUILD / "corstone300-tflm/platform/corstone300/enhancer.elf",
    "cortex-m7": _BUILD / "mps2-m7/platform/mps2/enhancer.elf",
    "cortex-m4": _BUILD / "mps2-m4/platform/mps2/enhancer.elf",
}
# Speech has begun by then.
_FIRST_SAMPLE = 60 * HOP_SAMPLES


def main(arguments: list[str] | None = None) -> None:
    """Command line; exits with 1 where mask values differ."""
    options = _parse(arguments)
    with reported_errors():
        target = compile_target(options)
        rows = [
            check(model, engine, processor, target, options.hops)
            for model in models_of(options)
            for processor in options.processors
            for engine in options.engines
            if engine in engines_of(processor)
        ]
    print(engine_table(rows).markdown(), end="")
    raise SystemExit(int(any(row.differing_values for row in rows)))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.boards.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["npu"])
    parser.add_argument("--processors", nargs="+", choices=PROCESSORS, default=["cortex-m55"])
    parser.add_argument("--hops", type=at_least(1), default=64, help="default: %(default)s")
    add_model_options(parser)
    add_target_options(parser)
    return parser.parse_args(arguments)


def engines_of(processor: Processor) -> tuple[Engine, ...]:
    """The engines that the virtual board of a processor can have: only one has an NPU."""
    return ENGINES if processor == "cortex-m55" else ("tflm-cpu",)


def firmware_of(engine: Engine, processor: Processor) -> Path:
    """The image that holds an engine."""
    return FIRMWARE if engine == "npu" else _TFLM_FIRMWARE[processor]


def open_board(engine: Engine, processor: Processor, target: CompileTarget) -> Board:
    """The virtual board with a processor, and with the NPU compiled for if it has one."""
    image = firmware_of(engine, processor)
    if processor != "cortex-m55":
        return Mps2Board(image, processor)
    macs = get_npu(target.accelerator).macs
    return VirtualBoard(image, PLUGIN, macs, EmulatedNpu(target.system_config))


def check(
    model: Path, engine: Engine, processor: Processor, target: CompileTarget, hops: int
) -> EngineRow:
    """Enhance some hops of a published mixture and compare every mask and sample.

    Raises:
        TargetError, EthosUError: the model or its card is not sound, or Vela cannot map it.
        BoardError, FirmwareError: the board or the firmware failed, or lacks the engine.
    """
    deployed = Deployed.load(model)
    front_end = deployed.front_end
    noisy = board_mixtures(per_snr=1)[0].noisy[_FIRST_SAMPLE:][: hops * HOP_SAMPLES]
    with tempfile.TemporaryDirectory() as scratch:
        package = package_model(deployed, Path(scratch), target, engine=engine, front_end=front_end)
    measured = measure(open_board(engine, processor, target), package, noisy)
    agreement = compare_with_host(measured.result, TfliteRunner(model), front_end, noisy)
    log = measured.result.log
    assert log.summary is not None
    has_npu = log.summary.npu_total_cycles > 0
    ticks_per_second, done = log.start.ticks_per_second, log.summary.hops
    dsp = qemu.instructions(measured.cpu_ticks, ticks_per_second)
    # With an NPU the CPU sleeps: what passes then are no instructions.
    network = 0.0 if has_npu else qemu.instructions(measured.inference_ticks, ticks_per_second)
    return EngineRow(
        model=model.stem,
        processor=processor,
        engine=engine,
        mask_values=agreement.mask_values,
        differing_values=agreement.mask_mismatches,
        sample_steps=agreement.sample_steps,
        firmware_bytes=image_size(firmware_of(engine, processor)).flash_bytes,
        model_bytes=measured.package_bytes,
        arena_bytes=measured.arena_bytes,
        npu_cycles=measured.npu_cycles,
        dsp_instructions=dsp,
        network_instructions=network,
        energy_uj=hop_energy_uj(
            dsp + network,
            log.summary.npu_active_cycles / done,
            get_npu(target.accelerator).macs,
            (log.summary.axi0_read_beats + log.summary.axi0_write_beats) / done,
            # A network on the CPU reads its whole file once a hop.
            log.summary.axi1_read_beats / done if has_npu else measured.package_bytes / BEAT_BYTES,
        ),
    )


if __name__ == "__main__":
    main()

"""A finished study with invented numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.compression.methods.prune import Prune
from pipeline.compression.methods.prune_offline import PruneOffline
from pipeline.config import Variant
from pipeline.ethosu.vela import FlashBytes
from pipeline.study.records import Boot, Cost, Point, Quality, Reference, points_in

PARAMETERS = 968_960
DENSE = Variant(name="dense-int8")
UNIT = Variant(name="unit50", methods=(Prune(do="prune", structure="unit", sparsity=0.5),))
PRUNE = Prune(do="prune", sparsity=0.8)
WEIGHT = Variant(name="unit50-weight80", parent="unit50", methods=(PRUNE,))


def write_study(folder: Path) -> None:
    """Dense, units, units and weights twice, offline: each smaller, faster and worse."""
    points_in(folder).mkdir(parents=True)
    reference(pesq=1.25).save(points_in(folder) / "dense.json")
    pruned = PruneOffline(do="prune_offline", sparsity=0.8)
    offline = Variant(name="offline80", parent="dense-int8", methods=(pruned,))
    repeated = (
        UNIT.model_copy(update={"name": "unit50-seed2"}),
        WEIGHT.model_copy(update={"name": "unit50-weight80-seed2", "parent": "unit50-seed2"}),
    )
    for made in (
        point((DENSE,), flash=550_000, cycles=550_000, sram_cycles=136_000, change=-0.01),
        point((UNIT,), flash=240_000, cycles=250_000, sram_cycles=48_000, change=-0.06),
        point((UNIT, WEIGHT), flash=60_000, cycles=62_000, sram_cycles=48_000, change=-0.5),
        point(repeated, 62_000, 64_000, 48_000, -0.7, base="unit50-weight80", seed=2),
        point((DENSE, offline), flash=210_000, cycles=220_000, sram_cycles=136_000, change=-4.0),
    ):
        made.save(points_in(folder) / f"{made.name}.json")


def reference(pesq: float) -> Reference:
    """Invented scores of the systems that points are compared with."""
    return Reference(
        key="0",
        split="test",
        parameters=PARAMETERS,
        systems={"noisy": quality(0.8), "RNNoise": quality(5.2, pesq), "dense_float": quality(7.1)},
        clips={},
    )


def point(
    chain: tuple[Variant, ...],
    flash: int,
    cycles: int,
    sram_cycles: int,
    change: float,
    base: str | None = None,
    seed: int = 1,
) -> Point:
    """An invented point; its SDR changes half as much as its SI-SDR."""
    return Point(
        key="0",
        name=chain[-1].name,
        base=base or chain[-1].name,
        seed=seed,
        chain=chain,
        split="test",
        units={"dense": 128},
        sparsity={"all": 0.8},
        weights_left=100_000,
        scheme="int8",
        zero_weights=0.5,
        mismatching=0,
        quality=quality(7.1 + change),
        change=quality(change, sdr=change / 2),
        costs=(*costs(flash, cycles, sram_cycles), *costs(flash, 2 * cycles, sram_cycles, "32")),
        versions={"python": "3.11"},
    )


def costs(flash: int, cycles: int, sram_cycles: int, macs: str = "128") -> list[Cost]:
    """Of every placement, the copy only where it fits."""
    common: dict[str, Any] = {
        "source": "vela",
        "accelerator": f"ethos-u55-{macs}",
        "system": "Ethos_U55_High_End_Embedded",
        "flash": FlashBytes(
            weights=flash - 5_000,
            scales=2_000,
            lookup_tables=500,
            other=500,
            command_stream=2_000,
            total=flash,
        ),
        "arena_bytes": 2_400,
        "npu_cycles": sram_cycles,
        "clock_hz": 500e6,
        "latency_us": cycles / 500,
    }
    flash_only = {"placement": "flash", "memory_mode": "Shared_Sram", "total_cycles": cycles}
    in_sram = {"memory_mode": "Sram_Only", "total_cycles": sram_cycles, "sram_bytes": flash + 400}
    placed = [
        Cost(**common, **flash_only, sram_bytes=2_400, boot=None),
        Cost(**common, **in_sram, placement="sram", boot=None),
    ]
    if flash < 320 * 1024:
        boot = Boot(bytes=flash - 2_000, cycles=flash - 2_000)
        placed.append(Cost(**common, **in_sram, placement="sram_copy", boot=boot))
    return placed


def quality(si_sdr_db: float, pesq: float = 1.3, sdr: float | None = None) -> Quality:
    """Invented scores of 120 clips."""
    means = {
        "si_sdr_db": si_sdr_db,
        "sdr_db": si_sdr_db if sdr is None else sdr,
        "pesq_wb": pesq,
        "stoi": 0.8,
    }
    statistic = {"standard_error": 0.02, "valid": 120, "total": 120}
    return Quality.model_validate({n: {"mean": mean} | statistic for n, mean in means.items()})

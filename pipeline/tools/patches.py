"""Patches: what a burst of hops costs whole, in patches, and hop by hop; memory against cycles.

python -m pipeline.patches runs/convnet/compress/dense-int8/dense-int8.safetensors --hops 64

For a recording that is cleaned at once, or one wake-up for many hops. A patch is a run of hops. Its
halo, the hops before it that a network without recurrence reads, is computed again with every patch
(MCUNetV2, Lin et al., 2021) or kept as frames from patch to patch. The last row is the streaming
network, of which the host keeps the frames. Cycles are Vela's, for the whole burst; every row's
bytes are compared with those of the hops one by one, in TFLite on random features.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.boards.deployment import CompileTarget
from pipeline.cli import command_parser, reported_errors
from pipeline.errors import InputError
from pipeline.ethosu import vela
from pipeline.ethosu.npu import NPUS
from pipeline.lowering.burst import to_burst
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.graph import HopGraph
from pipeline.networks.trained import Trained
from pipeline.progress import Reporter
from pipeline.reporting.tables import Row, Table
from pipeline.runners import HopModel, states_of, stream
from pipeline.runners.tflite import TfliteRunner

FLASH, SRAM = "Shared_Sram", "Sram_Only"
Halo = Literal["none", "kept", "again", "with the host"]


@dataclasses.dataclass(frozen=True)
class Patched:
    """A burst in patches.

    Attributes:
        patches: invocations for the burst.
        hops: computed by each.
        halo: what becomes of it; computed again, it is among the hops.
        arena_bytes: tensors of one invocation; what the model keeps is among them.
        kept_bytes: from invocation to invocation.
        npu_cycles: of the burst, weights in SRAM.
        flash_cycles: of the burst, with the waiting for weights in flash.
        equal: whether all masks have the bytes that they have hop by hop.
    """

    patches: int
    hops: int
    halo: Halo
    arena_bytes: int
    kept_bytes: int
    npu_cycles: int
    flash_cycles: int
    equal: bool


def halo_hops(graph: HopGraph) -> int:
    """How many hops before one decide its mask."""
    reach: dict[str, int] = {}
    for node in graph.nodes:
        before = max((reach[name] for name in node.inputs), default=0)
        reach[node.name] = before + max(node.delays, default=0)
    return reach[graph.output]


def patched(
    trained: Trained,
    hops: int,
    patches: int,
    halo: Halo,
    accelerator: str = CompileTarget.accelerator,
) -> Patched:
    """Lower, compile and run a burst of `hops` in `patches` of equal length.

    Raises:
        InputError: the hops are no whole number of patches, or the network has a recurrence.
    """
    if hops % patches:
        raise InputError(f"{hops} hops are no whole number of {patches} patches; choose a divisor")
    patch = hops // patches
    again = halo_hops(trained.graph) if halo == "again" else 0
    model = to_burst(trained, "burst", patch + again)
    runner, features = TfliteRunner(model), _features(trained, hops)
    kept = sum(runner.inputs[name].size_bytes for name in states_of(runner))
    return _measured(
        model,
        accelerator,
        patches=patches,
        hops=patch + again,
        halo=halo,
        kept_bytes=kept if halo == "kept" else 0,
        equal=np.array_equal(
            _masks(runner, features, patch, again), _hop_by_hop(trained, features)
        ),
    )


def streamed(trained: Trained, hops: int, accelerator: str = CompileTarget.accelerator) -> Patched:
    """The streaming network hop after hop; the host keeps the frames that delays read."""
    model = to_tflite(trained, "hop")
    runner = TfliteRunner(model)
    tensors, reach = {**runner.outputs, **runner.inputs}, dict[str, int]()
    for item in HopModel.of(runner).delayed:
        reach[item.source] = max(reach.get(item.source, 0), *item.delays)
    kept = sum(longest * tensors[name].size_bytes for name, longest in reach.items())
    return _measured(
        model,
        accelerator,
        patches=hops,
        hops=1,
        halo="with the host",
        kept_bytes=kept,
        equal=True,
    )


def _measured(model: bytes, accelerator: str, patches: int, **known: Any) -> Patched:
    costs = {mode: _compiled(model, accelerator, mode) for mode in (FLASH, SRAM)}
    return Patched(
        patches=patches,
        arena_bytes=costs[SRAM].arena_bytes,
        npu_cycles=patches * costs[SRAM].npu_cycles,
        flash_cycles=patches * costs[FLASH].total_cycles,
        **known,
    )


def _features(trained: Trained, hops: int) -> NDArray[np.float32]:
    bands = trained.graph.features.channels
    return np.random.default_rng(0).uniform(-1, 1, (hops, bands)).astype(np.float32)


def _hop_by_hop(trained: Trained, features: NDArray[np.float32]) -> NDArray[np.integer]:
    return stream(TfliteRunner(to_tflite(trained, "hop")), features)


def _compiled(model: bytes, accelerator: str, mode: str) -> vela.CompiledModel:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "burst.tflite"
        path.write_bytes(model)
        return vela.compile(path, path.parent, accelerator, memory_mode=mode)


def _masks(
    runner: TfliteRunner, features: NDArray[np.float32], patch: int, halo: int
) -> NDArray[np.integer]:
    """Of the whole burst ``[hops, bands]``, every patch after its halo if it is computed again."""
    hops, bands = features.shape
    if not halo:
        return stream(runner, features.reshape(-1, patch * bands)).reshape(hops, bands)
    found = []
    for start in range(0, hops, patch):
        begin = max(0, start - halo)
        window = np.zeros((patch + halo, bands), np.float32)
        heard = features[begin : begin + patch + halo]
        window[: len(heard)] = heard
        mask = stream(runner, window.reshape(1, -1)).reshape(-1, bands)
        found.append(mask[start - begin :][:patch])
    return np.concatenate(found)


def table(rows: list[Patched], hops: int) -> Table:
    """For reading."""
    cells = [
        (
            f"{row.patches}, halo {row.halo}",
            *(f"{n:,}" for n in (row.hops, row.arena_bytes, row.kept_bytes)),
            *(f"{n:,}" for n in (row.npu_cycles, row.flash_cycles)),
            "yes" if row.equal else "no",
        )
        for row in rows
    ]
    return Table(
        f"A burst of {hops} hops",
        (
            *("Patches", "Hops an invocation", "Arena, bytes", "Kept, bytes"),
            *("NPU cycles, SRAM", "Total cycles, flash", "Equal bytes"),
        ),
        tuple(Row(None, row) for row in cells),
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command_parser("pipeline.patches", __doc__)
    parser.add_argument("model", type=Path, help="a trained .safetensors of an integer network")
    parser.add_argument("--hops", type=int, default=64, help="of the burst; default: %(default)s")
    parser.add_argument(
        "--patches", type=int, nargs="+", metavar="N", help="default: powers of two up to the hops"
    )
    parser.add_argument(
        "--accelerator",
        choices=NPUS,
        default=CompileTarget.accelerator,
        help="default: %(default)s",
    )
    options = parser.parse_args(arguments)
    with reported_errors():
        trained = Trained.load(options.model)
        counts = options.patches or [2**k for k in range(options.hops.bit_length())]
        if options.hops < 1 or min(counts) < 1:
            raise InputError("--hops and --patches are counts; give numbers above 0")
        wanted: list[tuple[int, Halo]] = []
        for n in counts:
            wanted += [(n, "none")] if n == 1 else [(n, "kept"), (n, "again")]
        rows = []
        with Reporter() as report:
            for done, (patches, halo) in enumerate(wanted, start=1):
                rows.append(patched(trained, options.hops, patches, halo, options.accelerator))
                report("patches", done, len(wanted))
        rows.append(streamed(trained, options.hops, options.accelerator))
        print(table(rows, options.hops).markdown())


if __name__ == "__main__":
    main()

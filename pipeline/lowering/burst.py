"""Many hops at once: a network without recurrence as a TFLite model of a burst.

A burst of hops is a patch of time. What MCUNetV2 (Lin et al., 2021) calls patch-based inference
runs a network patch by patch and computes the overlap of neighbouring patches, their halo, again;
here the halo is kept instead [derived]: the frames that delays read go out of one burst and into
the next. A burst of one hop is the streaming network.
"""

from pipeline.errors import InputError
from pipeline.lowering.flatbuffer import Tensor
from pipeline.lowering.tflite import Writer
from pipeline.lowering.windows import whole
from pipeline.networks.graph import HopGraph, Node, Shape
from pipeline.networks.trained import Trained
from pipeline.quantization.scheme import Grid

_HOP_BY_HOP = (
    "input", "delay", "concat", "slice", "reshape", "product", "conv", "depthwise", "sigmoid",
    "tanh", "mul", "add", "sub",
)  # fmt: skip
BEFORE = "_before"


def to_burst(trained: Trained, name: str, hops: int) -> bytes:
    """Serialize the network for so many hops an invocation.

    Inputs are the features ``[1, hops x bands]`` and, for every tensor that delays read, the frames
    before the burst, `<tensor>_before`; outputs are the mask ``[1, hops x bands]`` and those
    frames for the next burst. So it streams as a network of longer hops does.

    Raises:
        InputError: the network has states, or an operator that is not there for bursts; names it.
    """
    for node in trained.graph.nodes:
        if not _runs_by_hops(trained.graph, node):
            raise InputError(
                f"{node.name!r} ({node.op}) cannot run many hops at once; "
                "take a network of convolutions"
            )
    return _BurstWriter(trained, name, hops).write()


def _runs_by_hops(graph: HopGraph, node: Node) -> bool:
    """Whether the operator takes one more axis, and its operands lie on the same ones."""
    ranks = {len(graph[name].shape) for name in node.inputs}
    over_hops = node.op == "depthwise" and graph[node.inputs[0]].channels > node.channels
    return node.op in _HOP_BY_HOP and len(node.shape) < 3 and len(ranks) < 2 and not over_hops


class _BurstWriter(Writer):
    """Hops lie on the axis before a hop's own."""

    def __init__(self, trained: Trained, name: str, hops: int) -> None:
        super().__init__(trained, name, whole)
        self._hops = hops
        self._next: list[Tensor] = []

    def _shape(self, shape: Shape) -> tuple[int, ...]:
        return (self._hops, *shape) if len(shape) == 1 else (1, self._hops, *shape)

    def _outputs(self, graph: HopGraph) -> list[Tensor]:
        mask = self._tensors[graph.output]
        flat = self._file.reshape(mask, (1, mask.shape[0] * mask.shape[1]), name="burst_mask")
        return [flat, *self._next]

    def _write(self, graph: HopGraph, node: Node, grid: Grid) -> None:
        if node.op == "input":
            flat = self._file.input(
                node.name,
                (1, self._hops * node.channels),
                grid.dtype,
                scale=grid.scale,
                zero_point=grid.zero_point,
            )
            hops = f"{node.name}_hops"
            self._tensors[node.name] = self._file.reshape(flat, self._shape(node.shape), name=hops)
        elif node.op == "delay":
            self._tensors[node.name] = self._delayed(graph, node)
        else:
            super()._write(graph, node, grid)

    def _delayed(self, graph: HopGraph, node: Node) -> Tensor:
        """Frames of so many hops ago, out of those before the burst and those of the burst."""
        file, source = self._file, self._tensors[node.inputs[0]]
        reach, axis = max(node.delays), len(source.shape) - 1 - len(node.shape)
        shape = list(source.shape)
        shape[axis] = reach
        memory = f"{node.name}{BEFORE}"
        before = file.input(
            memory, shape, source.dtype, scale=source.scale, zero_point=source.zero_point
        )
        frames = file.concatenation([before, source], name=f"{node.name}_frames", axis=axis)
        after = f"{memory}_next"
        self._next.append(file.slice(frames, self._hops, self._hops + reach, name=after, axis=axis))
        parts = [
            file.slice(
                frames,
                reach - delay,
                reach - delay + self._hops,
                name=f"{node.name}_{delay}",
                axis=axis,
            )
            for delay in node.delays
        ]
        if len(parts) == 1:
            return parts[0]
        return file.concatenation(parts, name=node.name)

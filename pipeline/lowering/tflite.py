"""A trained network -> one-hop integer TFLite model with explicit memory.

Inputs are the features, the states and the frames that delays ask for; outputs are the band mask,
what the states become (``<state>_next`` by convention of the definitions, on the same grid, so that
a host feeds the bytes back unchanged) and the frames that delays will ask for. Every scale comes
from the numeric scheme the network was trained in; nothing is calibrated and the TensorFlow
converter is not involved, so the integers in the file are the ones training saw.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.lowering.flatbuffer import Activation, Graph, Tensor
from pipeline.lowering.windows import Window, cheapest_windows, whole
from pipeline.networks.graph import HopGraph, Node, Shape
from pipeline.networks.trained import Trained
from pipeline.quantization.scheme import STORED_STEPS, Grid, half_away, integer_steps

Cut = Callable[[NDArray[np.int8]], list[Window]]


@dataclasses.dataclass(frozen=True)
class IntegerMatrix:
    """A matrix as the target stores it.

    Attributes:
        weights: int8 ``[outputs, inputs]``, even, in -126..126.
        scale: real value of one stored step.
        bias: float32 ``[outputs]``, quantized where the input scale is known.
    """

    weights: NDArray[np.int8]
    scale: float
    bias: NDArray[np.float32]


def integer_matrix(trained: Trained, name: str) -> IntegerMatrix:
    """Quantize one masked matrix exactly as `pipeline.quantization.fake` does in training.

    Raises:
        InputError: nothing is left of it; names it.
    """
    masked = trained.arrays[f"{name}/kernel"] * trained.arrays[f"{name}/mask"]
    if not masked.any():
        raise InputError(f"matrix {name!r} has no weight left; lower its sparsity")
    steps, step = integer_steps(masked)
    weights = (STORED_STEPS * steps).T.copy()
    bias = trained.arrays[f"{name}/bias"]
    if name in trained.graph.multiplied():
        bias = bias * trained.arrays[f"{name}/mask"].any(axis=0)
    return IntegerMatrix(weights, step / STORED_STEPS, bias)


def to_tflite(trained: Trained, name: str, cut: Cut = cheapest_windows) -> bytes:
    """Serialize the deployed network.

    Args:
        trained: a network trained in an integer scheme.
        name: model name, stored in the file.
        cut: how each matrix is divided into smaller products.

    Raises:
        InputError: it was trained in floating point, or a role has no grid; names it.
    """
    scheme = trained.scheme
    if not scheme.quantize_weights:
        raise InputError(f"{name}: trained in scheme {scheme.name!r}; run the compress stage first")
    return Writer(trained, name, cut).write()


def window_suffix(window: Window) -> str:
    """How tensor names say which part of a matrix they hold: ``[out_begin,in_begin]``."""
    return f"[{window.out_begin},{window.in_begin}]"


class Writer:
    """Writes a network node by node; what is of this hop alone is in methods of its own."""

    def __init__(self, trained: Trained, name: str, cut: Cut) -> None:
        self._trained, self._cut = trained, cut
        self._file = Graph(name)
        self._tensors: dict[str, Tensor] = {}

    def write(self) -> bytes:
        """The file."""
        graph = self._trained.graph
        roles = graph.roles()
        for node in graph.nodes:
            if node.name not in self._tensors:
                self._write(graph, node, self._grid(node, roles[node.name]))
        for tensor in self._outputs(graph):
            self._file.output(tensor)
        return self._file.to_bytes()

    def _outputs(self, graph: HopGraph) -> list[Tensor]:
        delayed = [node.inputs[0] for node in graph.nodes if node.op == "delay"]
        names = [graph.output, *(becomes for _, becomes in graph.next_state), *delayed]
        names += [graph.gate] if graph.gate is not None else []
        return [self._tensors[name] for name in dict.fromkeys(names) if graph[name].op != "input"]

    def _shape(self, shape: Shape) -> tuple[int, ...]:
        """Of the TFLite tensor: ``[1, channels]``, or four axes, of which the first are 1."""
        axes = 2 if len(shape) == 1 else 4
        return (1,) * (axes - len(shape)) + shape

    def _grid(self, node: Node, role: str | None) -> Grid:
        grid = self._trained.scheme.grid(role)
        if grid is None:
            raise InputError(f"{node.name!r}: an integer scheme must give role {role!r} a grid")
        return grid

    def _write(self, graph: HopGraph, node: Node, grid: Grid) -> None:
        file, name = self._file, node.name
        x = [self._tensors[i] for i in node.inputs]
        scale: Any = {"scale": grid.scale, "zero_point": grid.zero_point}
        if node.op in ("input", "state", "delay"):
            y = file.input(name, self._shape(node.shape), grid.dtype, **scale)
        elif node.op == "concat":
            y = file.concatenation(x, name=name)
        elif node.op == "slice":
            names = _parts(graph, node)
            if names:
                self._tensors |= zip(names, file.split(x[0], names=names))
                return
            y = file.slice(x[0], node.begin, node.begin + node.channels, name=name)
        elif node.op == "reshape":
            y = file.reshape(x[0], self._shape(node.shape), name=name)
        elif node.op == "transpose":
            moved = len(self._shape(node.shape)) - len(node.shape)
            order = [*range(moved), *(moved + axis for axis in node.order)]
            y = file.transpose(x[0], order, name=name)
        elif node.op == "requantize":
            y = file.quantize(x[0], name=name, dtype=grid.dtype, **scale)
        elif node.op == "softmax":
            y = file.softmax(x[0], name=name)
        elif node.op == "matmul":
            y = file.batch_matmul(*x, name=name, transposed=node.transposed, **scale)
        elif node.op == "mean":
            y = file.mean(x[0], (1, 2), name=name, **scale)
        elif node.op == "sigmoid":
            y = file.logistic(x[0], name=name)
        elif node.op == "tanh":
            y = file.tanh(x[0], name=name)
        elif node.op == "mul":
            y = file.mul(*x, name=name, **scale)
        elif node.op == "add":
            y = file.add(*x, name=name, activation=_activation(node), **scale)
        elif node.op == "sub":
            y = file.sub(*x, name=name, **scale)
        elif node.op == "product" and len(node.shape) == 1:
            y = self._dense(node, x[0], grid)
        else:
            y = self._convolution(node, x[0], grid)
        self._tensors[name] = y

    def _dense(self, node: Node, x: Tensor, grid: Grid) -> Tensor:
        matrix = integer_matrix(self._trained, str(node.matrix))
        parts = [
            self._product(node, matrix, window, x, grid) for window in self._cut(matrix.weights)
        ]
        return parts[0] if len(parts) == 1 else self._file.concatenation(parts, name=node.name)

    def _product(
        self, node: Node, matrix: IntegerMatrix, window: Window, x: Tensor, grid: Grid
    ) -> Tensor:
        """Multiply by one window of a matrix."""
        rows, columns = matrix.weights.shape
        place = window_suffix(window)
        if (window.in_begin, window.in_end) != (0, columns):
            reads = f"{node.matrix}_reads{place}"
            x = self._file.slice(x, window.in_begin, window.in_end, name=reads)
        stored = np.ascontiguousarray(matrix.weights[window.outputs, window.inputs])
        is_whole = (window.out_begin, window.out_end) == (0, rows)
        return self._file.fully_connected(
            x,
            *self._constants(node, matrix, stored, matrix.bias[window.outputs], x, place),
            name=node.name if is_whole else f"{node.name}{place}",
            scale=grid.scale,
            zero_point=grid.zero_point,
            activation=_activation(node),
        )

    def _convolution(self, node: Node, x: Tensor, grid: Grid) -> Tensor:
        matrix = integer_matrix(self._trained, str(node.matrix))
        outputs = matrix.weights.shape[0]
        place = window_suffix(whole(matrix.weights)[0])
        scale: Any = {"scale": grid.scale, "zero_point": grid.zero_point}
        activation = _activation(node)
        if node.op != "depthwise":
            # Bands lie on the axis before the channels, or before that.
            across = (1, node.kernel) if len(node.shape) < 3 else (node.kernel, 1)
            stored = matrix.weights.reshape(outputs, *across, -1)
            constants = self._constants(node, matrix, stored, matrix.bias, x, place)
            return self._file.convolution(
                x, *constants, name=node.name, activation=activation, **scale
            )
        taps = x.shape[-1] // node.channels
        if taps == 1:
            stored = np.ascontiguousarray(matrix.weights.T)[None, None]
            constants = self._constants(node, matrix, stored, matrix.bias, x, place)
            return self._file.depthwise_convolution(
                x, *constants, name=node.name, activation=activation, **scale
            )
        # Bands down, hops across: a stride as wide as the kernel leaves one column.
        name, bands = node.name, node.shape[0]
        x = self._file.reshape(x, (1, bands, taps, node.channels), name=f"{name}_hops")
        stored = matrix.weights.T.reshape(1, node.kernel, taps, node.channels).copy()
        constants = self._constants(node, matrix, stored, matrix.bias, x, place)
        column = self._file.depthwise_convolution(
            x, *constants, name=f"{name}_column", activation=activation, stride=taps, **scale
        )
        return self._file.reshape(column, self._shape(node.shape), name=name)

    def _constants(
        self,
        node: Node,
        matrix: IntegerMatrix,
        stored: NDArray[np.int8],
        bias: NDArray[np.float32],
        x: Tensor,
        place: str,
    ) -> tuple[Tensor, Tensor]:
        weights = self._file.constant(f"{node.matrix}_weights{place}", stored, matrix.scale)
        bias_scale = x.scale * weights.scale
        step = STORED_STEPS * bias_scale
        rounded = STORED_STEPS * half_away(bias.astype(np.float64) / step)
        integers: NDArray[np.integer] = rounded.astype(np.int32 if x.dtype == "int8" else np.int64)
        return weights, self._file.constant(f"{node.matrix}_bias{place}", integers, bias_scale)


def _activation(node: Node) -> Activation:
    return "relu" if node.relu else "none"


def _parts(graph: HopGraph, node: Node) -> list[str]:
    """The slices that cut their input into equal parts with this one; none if they do not."""
    parts = [n for n in graph.readers(node.inputs[0]) if n.op == "slice"]
    begins = [k * node.channels for k in range(len(parts))]
    equal = {part.channels for part in parts} == {node.channels}
    covered = node.channels * len(parts) == graph[node.inputs[0]].channels
    if not (equal and covered and [part.begin for part in parts] == begins):
        return []
    return [part.name for part in parts]

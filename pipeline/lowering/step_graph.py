"""Trained weights -> one-hop integer TFLite graph with explicit state.

Inputs are ``features`` and the state ``h1, c1, h2, c2, ...``; outputs are ``mask`` and the next
state ``h1_next, c1_next, ...``, on the same grids as the inputs so that a host feeds the bytes
back unchanged. Every scale comes from the numeric scheme the network was trained in; nothing is
calibrated and the TensorFlow converter is not involved, so the integers in the file are the ones
training saw.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.lowering.flatbuffer import Graph, Tensor
from pipeline.lowering.windows import Window, cheapest_windows
from pipeline.models.weights import Weights
from pipeline.quantization.scheme import (
    MIN_WEIGHT,
    STORED_STEPS,
    WEIGHT_LIMIT,
    Grid,
    Scheme,
    half_away,
    power_of_two_above,
)

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


def integer_matrix(weights: Weights, name: str) -> IntegerMatrix:
    """Quantize one masked matrix exactly as `pipeline.quantization.fake` does in training.

    Raises:
        InputError: nothing is left of it; names it.
    """
    masked = weights.arrays[f"{name}/kernel"] * weights.arrays[f"{name}/mask"]
    if not masked.any():
        raise InputError(f"matrix {name!r} has no weight left; lower its sparsity")
    largest = np.maximum(np.abs(masked).max(), np.float32(MIN_WEIGHT))
    step = power_of_two_above(largest / np.float32(WEIGHT_LIMIT))
    integers = STORED_STEPS * half_away(masked / np.float32(step)).astype(np.int8)
    return IntegerMatrix(integers.T.copy(), step / STORED_STEPS, weights.arrays[f"{name}/bias"])


def build_step_graph(weights: Weights, name: str, cut: Cut = cheapest_windows) -> bytes:
    """Serialize the deployed network.

    Args:
        weights: a network trained in an integer scheme.
        name: model name, stored in the file.
        cut: how each matrix is divided into smaller products.

    Raises:
        InputError: the weights were trained in floating point.
    """
    scheme = weights.scheme
    if not scheme.quantize_weights:
        raise InputError(f"{name}: trained in scheme {scheme.name!r}; run the compress stage first")
    return _Builder(weights, name, cut).build()


def window_suffix(window: Window) -> str:
    """How tensor names say which part of a matrix they hold: ``[out_begin,in_begin]``."""
    return f"[{window.out_begin},{window.in_begin}]"


class _Builder:
    def __init__(self, weights: Weights, name: str, cut: Cut) -> None:
        self._weights, self._cut = weights, cut
        self._scheme: Scheme = weights.scheme
        self._graph = Graph(name)

    def build(self) -> bytes:
        graph, sizes = self._graph, self._weights.model
        x = self._input("features", sizes.bands, _given(self._scheme.hidden))
        state = [
            (
                self._input(f"h{k}", units, _given(self._scheme.hidden)),
                self._input(f"c{k}", units, _given(self._scheme.cell)),
            )
            for k, units in enumerate(sizes.lstm_units, start=1)
        ]
        next_state = []
        for k, (h, c) in enumerate(state, start=1):
            x, c_next = self._lstm(k, x, h, c)
            next_state += [x, c_next]
        relu_grid = _given(self._scheme.relu_grid(self._weights.relu_maximum))
        x = self._dense("dense", x, relu_grid, "dense_relu", relu=True)
        x = self._dense("mask", x, _given(self._scheme.mask_input), "mask_input")
        graph.output(graph.logistic(x, name="mask"))
        for tensor in next_state:
            graph.output(tensor)
        return graph.to_bytes()

    def _lstm(self, k: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        graph, scheme, prefix = self._graph, self._scheme, f"lstm{k}"
        read = graph.concatenation([x, h], name=f"{prefix}_xh")
        if self._weights.model.ranks[k - 1]:
            read = self._dense(f"{prefix}_basis", read, _given(scheme.reduced), f"{prefix}_reduced")
        gate_input = self._dense(
            f"{prefix}_gates", read, _given(scheme.gate_input), f"{prefix}_gate_input"
        )
        gates = graph.logistic(gate_input, name=f"{prefix}_gate")
        i, f, o = graph.split(gates, names=[f"{prefix}_{gate}" for gate in "ifo"])
        candidate_input = self._dense(
            f"{prefix}_candidate",
            read,
            _given(scheme.candidate_input),
            f"{prefix}_candidate_input",
        )
        g = graph.tanh(candidate_input, name=f"{prefix}_candidate")
        cell = _given(scheme.cell).scale
        kept = graph.mul(f, c, name=f"{prefix}_kept", scale=cell)
        added = graph.mul(i, g, name=f"{prefix}_added", scale=cell)
        c_next = graph.add(kept, added, name=f"c{k}_next", scale=cell)
        cell_tanh = graph.tanh(c_next, name=f"{prefix}_cell_tanh")
        h_next = graph.mul(o, cell_tanh, name=f"h{k}_next", scale=_given(scheme.hidden).scale)
        return h_next, c_next

    def _dense(
        self, matrix_name: str, x: Tensor, out: Grid, name: str, relu: bool = False
    ) -> Tensor:
        matrix = integer_matrix(self._weights, matrix_name)
        parts = [
            self._product(matrix_name, matrix, window, x, out, name, relu)
            for window in self._cut(matrix.weights)
        ]
        return parts[0] if len(parts) == 1 else self._graph.concatenation(parts, name=name)

    def _product(
        self,
        matrix_name: str,
        matrix: IntegerMatrix,
        window: Window,
        x: Tensor,
        out: Grid,
        name: str,
        relu: bool,
    ) -> Tensor:
        """Multiply by one window of a matrix."""
        rows, columns = matrix.weights.shape
        place = window_suffix(window)
        if (window.in_begin, window.in_end) != (0, columns):
            x = self._graph.slice(
                x, window.in_begin, window.in_end, name=f"{matrix_name}_reads{place}"
            )
        weights = self._graph.constant(
            f"{matrix_name}_weights{place}",
            np.ascontiguousarray(matrix.weights[window.outputs, window.inputs]),
            matrix.scale,
        )
        bias_scale = x.scale * weights.scale
        step = STORED_STEPS * bias_scale
        rounded = STORED_STEPS * half_away(matrix.bias[window.outputs].astype(np.float64) / step)
        bias: NDArray[np.integer] = rounded.astype(np.int32 if x.dtype == "int8" else np.int64)
        whole = (window.out_begin, window.out_end) == (0, rows)
        return self._graph.fully_connected(
            x,
            weights,
            self._graph.constant(f"{matrix_name}_bias{place}", bias, bias_scale),
            name=name if whole else f"{name}{place}",
            scale=out.scale,
            zero_point=out.zero_point,
            activation="relu" if relu else "none",
        )

    def _input(self, name: str, width: int, grid: Grid) -> Tensor:
        return self._graph.input(name, (1, width), grid.dtype, grid.scale, grid.zero_point)


def _given(grid: Grid | None) -> Grid:
    if grid is None:
        raise InputError("an integer scheme must give every tensor a grid")
    return grid

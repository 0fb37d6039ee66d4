"""The recurrence of an LSTM over all hops at once, fast enough to train on a CPU.

Stands for the nodes of an ``lstm`` region (`pipeline.networks.tinylstms` writes the cell down),
with or without a low-rank basis in front of gates and candidate, and gives the same values.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.networks.graph import HopGraph, Node
from pipeline.quantization.fake import on_grid, product_on_grid
from pipeline.quantization.scheme import Grid
from pipeline.training.matrix import Matrix
from pipeline.training.stash import Stash, narrowest, restored, stored


@dataclasses.dataclass(frozen=True)
class _Grids:
    """Of the recurrence's tensors; `read` is what the first product multiplies."""

    read: Grid | None
    reduced: Grid | None
    gate_input: Grid | None
    gate: Grid | None
    candidate_input: Grid | None
    candidate: Grid | None
    cell: Grid | None
    cell_tanh: Grid | None
    hidden: Grid | None


class Kernel:
    """Computes the hidden states of all hops.

    Args:
        graph: of the network.
        ring: names of the nodes it stands for.
        matrices: by name.
        grids: by tensor.

    Attributes:
        reads: tensor it computes them from, float32 ``[batch, time, inputs]`` when called.
        output: tensor it makes, ``[batch, time, units]``.
        cell: tensor of the cell's state.

    Raises:
        InputError: the nodes are no LSTM.
    """

    def __init__(
        self,
        graph: HopGraph,
        ring: frozenset[str],
        matrices: Mapping[str, Matrix],
        grids: Mapping[str, Grid | None],
    ) -> None:
        def one(op: str, reads: str) -> Node:
            """The node of the ring that does `op` to what `reads` made."""
            of_op = [graph[name] for name in ring if graph[name].op == op]
            found = [n for n in of_op if any(graph[name].op == reads for name in n.inputs)]
            if len(found) != 1:
                raise InputError(f"{sorted(ring)}: no LSTM, it has {len(found)} {op} of a {reads}")
            return found[0]

        gate, candidate = one("sigmoid", "product"), one("tanh", "product")
        cell_tanh, read = one("tanh", "add"), one("concat", "state")
        sums, candidate_sums = graph[gate.inputs[0]], graph[candidate.inputs[0]]
        cell, expanded = graph[cell_tanh.inputs[0]], graph[sums.inputs[0]]
        (hidden,) = graph.readers(cell_tanh.name)
        self.reads, self.output, self.cell = read.inputs[0], hidden.name, cell.name
        self._inputs, self._units = graph[self.reads].channels, hidden.channels
        self._gates = matrices[str(sums.matrix)]
        self._candidate = matrices[str(candidate_sums.matrix)]
        self._basis = None if expanded == read else matrices[str(expanded.matrix)]
        self._cell_limit = cell.limit or math.inf
        self._grids = _Grids(
            read=grids[read.name],
            reduced=grids[expanded.name],
            gate_input=grids[sums.name],
            gate=grids[gate.name],
            candidate_input=grids[candidate_sums.name],
            candidate=grids[candidate.name],
            cell=grids[cell.name],
            cell_tanh=grids[cell_tanh.name],
            hidden=grids[hidden.name],
        )

    def __call__(
        self, x: "tf.Tensor", h: "tf.Tensor", c: "tf.Tensor", stash: Stash | None = None
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Run from a state, which no gradient reaches.

        Args:
            x: ``[batch, time, inputs]``.
            h, c: hidden and cell state before it, ``[batch, units]``.
            stash: how all is kept for the backward pass; None: as it is.

        Returns:
            The hidden states ``[batch, time, units]``, and the cell's after the last hop.
        """
        grid = self._grids.reduced
        kernel = tf.concat([self._gates.value(), self._candidate.value()], axis=1)
        bias = tf.concat([self._gates.bias_value(grid), self._candidate.bias_value(grid)], axis=0)
        expansion = []
        if self._basis:
            expansion = [kernel, bias]
            kernel, bias = self._basis.value(), self._basis.bias_value(self._grids.read)
        time_major = tf.transpose(x, [1, 0, 2])
        w, u = kernel[: self._inputs], kernel[self._inputs :]
        hidden, c = self._sequence(stash, (h, c), time_major, w, u, bias, *expansion)
        return tf.transpose(hidden, [1, 0, 2]), c

    def _cell(
        self, gate_input: "tf.Tensor", candidate_input: "tf.Tensor", c: "tf.Tensor"
    ) -> tuple["tf.Tensor", ...]:
        """Return gates ``[batch, 3 units]``, candidate, tanh(c'), c' and h'."""
        grids = self._grids
        gates = on_grid(tf.sigmoid(on_grid(gate_input, grids.gate_input)), grids.gate)
        i, f, o = tf.split(gates, 3, axis=1)
        g = on_grid(tf.tanh(on_grid(candidate_input, grids.candidate_input)), grids.candidate)
        if grids.cell is None:
            c = tf.clip_by_value(f * c + i * g, -self._cell_limit, self._cell_limit)
        else:
            kept = product_on_grid(f * c, grids.gate, grids.cell, grids.cell)
            c = kept + product_on_grid(i * g, grids.gate, grids.candidate, grids.cell)
            c = tf.clip_by_value(c, grids.cell.minimum, grids.cell.maximum)
        cell_tanh = on_grid(tf.tanh(c), grids.cell_tanh)
        h = product_on_grid(o * cell_tanh, grids.gate, grids.cell_tanh, grids.hidden)
        return gates, g, cell_tanh, c, h

    def _unsaturated(self, gates: "tf.Tensor") -> "tf.Tensor":
        """1 where the sigmoid's input was inside its grid, told by the output it reached."""
        return _between(gates, tf.sigmoid, self._grids.gate_input, self._grids.gate)

    def _unsaturated_candidate(self, g: "tf.Tensor") -> "tf.Tensor":
        return _between(g, tf.tanh, self._grids.candidate_input, self._grids.candidate)

    def _unsaturated_reduced(self, reduced: "tf.Tensor") -> "tf.Tensor":
        return _between(reduced, tf.identity, self._grids.reduced, self._grids.reduced)

    def _sequence(
        self,
        stash: Stash | None,
        before: tuple["tf.Tensor", "tf.Tensor"],
        x: "tf.Tensor",
        w: "tf.Tensor",
        u: "tf.Tensor",
        bias: "tf.Tensor",
        *expansion: "tf.Tensor",
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """The recurrence over ``[time, batch, inputs]`` with a hand-written gradient.

        Automatic differentiation of a loop multiplies by the weights and accumulates their
        gradient at every hop. Only the products with `h` and their adjoints are truly sequential;
        everything else is done here in one large product over all hops, which halves the training
        time. The quantizers' gradients are straight-through inside their ranges and zero outside:
        a saturated value does not move, and passing its gradient on would push it further.

        Args:
            stash: how what the products read is kept; with one all else is kept as integers.
            before: hidden and cell state before the first hop.
            x: input of all hops.
            w, u, bias: what `x` and `h` are multiplied by, and what is added.
            expansion: kernel and bias that make the cell's sums of a basis's outputs, if any.
        """
        units, width = self._units, w.shape[1]
        first_h, first_c = (tf.stop_gradient(state) for state in before)
        grids = self._grids if stash is not None else _Grids(*[None] * 9)
        of_cell = [grids.gate, grids.candidate, grids.cell_tanh, grids.cell, grids.hidden]
        written_on = [*([grids.reduced] if expansion else []), *of_cell]

        @tf.custom_gradient
        def recurrence(
            x: "tf.Tensor",
            w: "tf.Tensor",
            u: "tf.Tensor",
            bias: "tf.Tensor",
            *expansion: "tf.Tensor",
        ) -> tuple[tuple["tf.Tensor", "tf.Tensor"], object]:
            steps, batch = tf.shape(x)[0], tf.shape(x)[1]
            flat_x = tf.reshape(x, [-1, self._inputs])
            projected = tf.reshape(flat_x @ w + bias, [steps, batch, width])
            zeros = tf.zeros([batch, units])

            def array(width: int, grid: Grid | None = None) -> "tf.TensorArray":
                return tf.TensorArray(narrowest(grid), steps, element_shape=[None, width])

            def forward(t, h, c, *arrays):  # type: ignore[no-untyped-def]
                z = projected[t] + h @ u
                kept = []
                if expansion:
                    reduced = on_grid(z, self._grids.reduced)
                    kept = [reduced]
                    z = reduced @ expansion[0] + expansion[1]
                *kept_of_cell, c, h = self._cell(z[:, : 3 * units], z[:, 3 * units :], c)
                kept = map(stored, [*kept, *kept_of_cell, c, h], written_on)
                written = (a.write(t, value) for a, value in zip(arrays, kept, strict=True))
                return t + 1, h, c, *written

            widths = [*([width] if expansion else []), 3 * units, *[units] * 4]
            _, _, _, *arrays = tf.while_loop(
                lambda t, *_: t < steps,
                forward,
                [tf.constant(0), first_h, first_c, *map(array, widths, written_on)],
                parallel_iterations=1,
            )
            *kept, kept_h = (a.stack() for a in arrays)
            h, last_c = restored(kept_h, grids.hidden), restored(kept[-1][-1], grids.cell)

            def previous_h() -> "tf.Tensor":
                return tf.reshape(tf.concat([first_h[None], h[:-1]], axis=0), [-1, units])

            reads = [lambda: flat_x, previous_h]
            if stash is not None:
                reads = [stash.keep(flat_x, grids.read), stash.keep(previous_h(), grids.hidden)]

            def gradient(upstream: "tf.Tensor", _: "tf.Tensor") -> tuple["tf.Tensor", ...]:
                *reduced, gates, g, cell_tanh, c = map(restored, kept, written_on)
                previous_c = tf.concat([first_c[None], c[:-1]], axis=0)
                i, f, o = tf.split(gates, 3, axis=2)
                moving = gates * (1 - gates) * self._unsaturated(gates)
                di, df, do = tf.split(moving, 3, axis=2)
                dg = (1 - g * g) * self._unsaturated_candidate(g)
                # d(c', c', h', c') / d(i, f, o, g inputs), for all hops at once.
                local = tf.concat([g * di, previous_c * df, cell_tanh * do, i * dg], axis=2)
                dc_dh = o * (1 - cell_tanh * cell_tanh)
                limit = self._cell_limit if self._grids.cell is None else self._grids.cell.maximum
                inside = tf.cast(tf.abs(c) < limit, c.dtype)
                passed = [self._unsaturated_reduced(r) for r in reduced]
                transposed = [tf.transpose(kernel) for kernel in (u, *expansion[:1])]

                def backward(t, dh, dc, *arrays):  # type: ignore[no-untyped-def]
                    dh = dh + upstream[t]
                    dc = (dc + dh * dc_dh[t]) * inside[t]
                    dz = tf.concat([dc, dc, dh, dc], axis=1) * local[t]
                    kept = [dz]
                    if expansion:
                        kept.append((dz @ transposed[1]) * passed[0][t])
                    written = (a.write(t, value) for a, value in zip(arrays, kept, strict=True))
                    return t - 1, kept[-1] @ transposed[0], dc * f[t], *written

                widths = [4 * units, *([width] if expansion else [])]
                _, _, _, *arrays = tf.while_loop(
                    lambda t, *_: t >= 0,
                    backward,
                    [steps - 1, zeros, zeros, *(array(width) for width in widths)],
                    parallel_iterations=1,
                )
                dz = [tf.reshape(a.stack(), [-1, w]) for a, w in zip(arrays, widths, strict=True)]
                dx = tf.reshape(tf.matmul(dz[-1], w, transpose_b=True), tf.shape(x))
                dw, du = (tf.matmul(read(), dz[-1], transpose_a=True) for read in reads)
                gradients = [dx, dw, du, tf.reduce_sum(dz[-1], axis=0)]
                for values in reduced:
                    flat = tf.reshape(values, [-1, width])
                    gradients += [
                        tf.matmul(flat, dz[0], transpose_a=True),
                        tf.reduce_sum(dz[0], axis=0),
                    ]
                return tuple(gradients)

            return (h, last_c), gradient

        return recurrence(x, w, u, bias, *expansion)


def _between(
    output: "tf.Tensor",
    function: Callable[["tf.Tensor"], "tf.Tensor"],
    input_grid: Grid | None,
    output_grid: Grid | None,
) -> "tf.Tensor":
    """1.0 where an output lies strictly between those of the ends of its input's grid."""
    if input_grid is None:
        return tf.ones_like(output)
    ends = on_grid(function(tf.constant([input_grid.minimum, input_grid.maximum])), output_grid)
    return tf.cast((output > ends[0]) & (output < ends[1]), output.dtype)

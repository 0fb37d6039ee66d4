"""An LSTM whose arithmetic can be that of the integer network, fast enough to train on a CPU.

Cell (Hochreiter & Schmidhuber, 1997; no peepholes), with x and h side by side so that one matrix
product serves both, as in the deployed graph::

    i, f, o = sigmoid([x, h] @ gates + b);  g = tanh([x, h] @ candidate + b)
    c' = clip(f * c + i * g);               h' = o * tanh(c')

With a rank, a product with few outputs, the basis, comes between::

    r = [x, h] @ basis + b;  i, f, o = sigmoid(r @ gates + b);  g = tanh(r @ candidate + b)

which is a low-rank pair in the place of each matrix (Lu et al., 2016), one basis for both.

The cell is clipped to the range of its int16 grid in every scheme, float included: unbounded
cells (they pass +-100 on long streams) are what makes LSTMs lose quality in integers.
"""

from collections.abc import Callable

import numpy as np

from pipeline.keras import tf, tf_keras
from pipeline.models.matrix import Matrix
from pipeline.quantization.fake import on_grid, product_on_grid
from pipeline.quantization.scheme import CELL_LIMIT, Grid, Scheme

FORGET_BIAS = 1.0
# Features are a quarter as large as standardized ones (dsp.frontend), so their weights start
# correspondingly larger.
INPUT_GAIN = 2.0


class _KernelInitializer(tf_keras.initializers.Initializer):  # type: ignore[misc]
    """Glorot-uniform input rows over orthogonal recurrent rows, one H x H block a gate."""

    def __init__(self, inputs: int, units: int, seed: int) -> None:
        self._inputs, self._units, self._seed = inputs, units, seed

    def __call__(self, shape: tuple[int, int], dtype: str = "float32") -> "tf.Tensor":
        random = np.random.default_rng(self._seed)
        limit = INPUT_GAIN * np.sqrt(6.0 / (self._inputs + self._units))
        rows = random.uniform(-limit, limit, (self._inputs, shape[1]))
        blocks = [
            np.linalg.qr(random.normal(size=(self._units, self._units)))[0]
            for _ in range(shape[1] // self._units)
        ]
        return tf.constant(np.vstack([rows, np.hstack(blocks)]), dtype)


class LSTM(tf_keras.layers.Layer):
    """LSTM layer with a sequence view (`call`) and a one-hop view (`step`).

    Args:
        rank: width of the basis; 0 for none.
    """

    def __init__(
        self, name: str, inputs: int, units: int, scheme: Scheme, seed: int, rank: int = 0
    ) -> None:
        super().__init__(name=name)
        self.inputs, self.units, self._scheme = inputs, units, scheme
        forget_bias = np.repeat([0.0, FORGET_BIAS, 0.0], units)

        def initializer(offset: int) -> "tf_keras.initializers.Initializer":
            if rank:
                return tf_keras.initializers.GlorotUniform(seed=seed + offset)
            return _KernelInitializer(inputs, units, seed + offset)

        def matrix(part: str, shape: tuple[int, int], offset: int, bias: object) -> Matrix:
            return Matrix(f"{name}_{part}", shape, scheme, initializer(offset), bias)

        self.basis = matrix("basis", (inputs + units, rank), 2, "zeros") if rank else None
        rows = rank or inputs + units
        self.gates = matrix(
            "gates", (rows, 3 * units), 0, tf_keras.initializers.Constant(forget_bias)
        )
        self.candidate = matrix("candidate", (rows, units), 1, "zeros")

    @property
    def matrices(self) -> list[Matrix]:
        """In the order of the computation."""
        return [*([self.basis] if self.basis else []), self.gates, self.candidate]

    def step(
        self, x: "tf.Tensor", h: "tf.Tensor", c: "tf.Tensor"
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Advance one hop: ``[batch, inputs]``, two ``[batch, units]`` -> next ``(h, c)``."""
        xh = tf.concat([x, h], axis=1)
        grid = self._scheme.hidden
        if self.basis:
            sums = xh @ self.basis.value() + self.basis.bias_value(grid)
            grid = self._scheme.reduced
            xh = on_grid(sums, grid)
        gate_input = xh @ self.gates.value() + self.gates.bias_value(grid)
        candidate_input = xh @ self.candidate.value() + self.candidate.bias_value(grid)
        _, _, _, c, h = self._cell(gate_input, candidate_input, c)
        return h, c

    def call(self, x: "tf.Tensor") -> "tf.Tensor":
        """Run from a zero state: ``[batch, time, inputs]`` -> ``[batch, time, units]``."""
        grid = self._scheme.reduced if self.basis else self._scheme.hidden
        kernel = tf.concat([self.gates.value(), self.candidate.value()], axis=1)
        bias = tf.concat([self.gates.bias_value(grid), self.candidate.bias_value(grid)], axis=0)
        expansion = []
        if self.basis:
            expansion = [kernel, bias]
            kernel, bias = self.basis.value(), self.basis.bias_value(self._scheme.hidden)
        time_major = tf.transpose(x, [1, 0, 2])
        w, u = kernel[: self.inputs], kernel[self.inputs :]
        return tf.transpose(self._sequence(time_major, w, u, bias, *expansion), [1, 0, 2])

    def _cell(
        self, gate_input: "tf.Tensor", candidate_input: "tf.Tensor", c: "tf.Tensor"
    ) -> tuple["tf.Tensor", ...]:
        """Return gates ``[batch, 3 units]``, candidate, tanh(c'), c' and h'."""
        scheme = self._scheme
        gates = on_grid(tf.sigmoid(on_grid(gate_input, scheme.gate_input)), scheme.gate)
        i, f, o = tf.split(gates, 3, axis=1)
        g = on_grid(tf.tanh(on_grid(candidate_input, scheme.candidate_input)), scheme.candidate)
        if scheme.cell is None:
            c = tf.clip_by_value(f * c + i * g, -CELL_LIMIT, CELL_LIMIT)
        else:
            kept = product_on_grid(f * c, scheme.gate, scheme.cell, scheme.cell)
            c = kept + product_on_grid(i * g, scheme.gate, scheme.candidate, scheme.cell)
            c = tf.clip_by_value(c, scheme.cell.minimum, scheme.cell.maximum)
        cell_tanh = on_grid(tf.tanh(c), scheme.cell_tanh)
        h = product_on_grid(o * cell_tanh, scheme.gate, scheme.cell_tanh, scheme.hidden)
        return gates, g, cell_tanh, c, h

    def _unsaturated(self, gates: "tf.Tensor") -> "tf.Tensor":
        """1 where the sigmoid's input was inside its grid, told by the output it reached."""
        return _between(gates, tf.sigmoid, self._scheme.gate_input, self._scheme.gate)

    def _unsaturated_candidate(self, g: "tf.Tensor") -> "tf.Tensor":
        return _between(g, tf.tanh, self._scheme.candidate_input, self._scheme.candidate)

    def _unsaturated_reduced(self, reduced: "tf.Tensor") -> "tf.Tensor":
        return _between(reduced, tf.identity, self._scheme.reduced, self._scheme.reduced)

    def _sequence(
        self,
        x: "tf.Tensor",
        w: "tf.Tensor",
        u: "tf.Tensor",
        bias: "tf.Tensor",
        *expansion: "tf.Tensor",
    ) -> "tf.Tensor":
        """The recurrence over ``[time, batch, inputs]`` with a hand-written gradient.

        Automatic differentiation of a loop multiplies by the weights and accumulates their
        gradient at every hop. Only the products with `h` and their adjoints are truly sequential;
        everything else is done here in one large product over all hops, which halves the training
        time. The quantizers' gradients are straight-through inside their ranges and zero outside:
        a saturated value does not move, and passing its gradient on would push it further.

        Args:
            x: input of all hops.
            w, u, bias: what `x` and `h` are multiplied by, and what is added.
            expansion: kernel and bias that make the cell's sums of a basis's outputs, if any.
        """
        units, width = self.units, w.shape[1]

        @tf.custom_gradient
        def recurrence(
            x: "tf.Tensor",
            w: "tf.Tensor",
            u: "tf.Tensor",
            bias: "tf.Tensor",
            *expansion: "tf.Tensor",
        ) -> tuple["tf.Tensor", object]:
            steps, batch = tf.shape(x)[0], tf.shape(x)[1]
            flat_x = tf.reshape(x, [-1, self.inputs])
            projected = tf.reshape(flat_x @ w + bias, [steps, batch, width])
            zeros = tf.zeros([batch, units])

            def array(width: int) -> "tf.TensorArray":
                return tf.TensorArray(tf.float32, steps, element_shape=[None, width])

            def forward(t, h, c, *arrays):  # type: ignore[no-untyped-def]
                z = projected[t] + h @ u
                kept = []
                if expansion:
                    reduced = on_grid(z, self._scheme.reduced)
                    kept = [reduced]
                    z = reduced @ expansion[0] + expansion[1]
                *kept_of_cell, c, h = self._cell(z[:, : 3 * units], z[:, 3 * units :], c)
                kept += [*kept_of_cell, c, h]
                written = (a.write(t, value) for a, value in zip(arrays, kept, strict=True))
                return t + 1, h, c, *written

            widths = [*([width] if expansion else []), 3 * units, *[units] * 4]
            _, _, _, *arrays = tf.while_loop(
                lambda t, *_: t < steps,
                forward,
                [tf.constant(0), zeros, zeros, *(array(width) for width in widths)],
                parallel_iterations=1,
            )
            *reduced, gates, g, cell_tanh, c, h = (a.stack() for a in arrays)

            def gradient(upstream: "tf.Tensor") -> tuple["tf.Tensor", ...]:
                previous_c = tf.concat([zeros[None], c[:-1]], axis=0)
                previous_h = tf.concat([zeros[None], h[:-1]], axis=0)
                i, f, o = tf.split(gates, 3, axis=2)
                moving = gates * (1 - gates) * self._unsaturated(gates)
                di, df, do = tf.split(moving, 3, axis=2)
                dg = (1 - g * g) * self._unsaturated_candidate(g)
                # d(c', c', h', c') / d(i, f, o, g inputs), for all hops at once.
                local = tf.concat([g * di, previous_c * df, cell_tanh * do, i * dg], axis=2)
                dc_dh = o * (1 - cell_tanh * cell_tanh)
                limit = CELL_LIMIT if self._scheme.cell is None else self._scheme.cell.maximum
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
                read = [flat_x, tf.reshape(previous_h, [-1, units])]
                dw, du = (tf.matmul(values, dz[-1], transpose_a=True) for values in read)
                gradients = [dx, dw, du, tf.reduce_sum(dz[-1], axis=0)]
                for values in reduced:
                    flat = tf.reshape(values, [-1, width])
                    gradients += [
                        tf.matmul(flat, dz[0], transpose_a=True),
                        tf.reduce_sum(dz[0], axis=0),
                    ]
                return tuple(gradients)

            return h, gradient

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

"""A network that can be trained: two views, folded from its graph.

The sequence view computes all hops at once, node by node: a delay is a shift over time, and only
what lies on a recurrence is computed hop by hop, by a kernel of its own
(`pipeline.training.kernels`) or by a scan. A network with a gate that skips hops is computed hop by
hop as a whole. The one-hop view is what the target computes. In an integer scheme both take the
integers' values exactly.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.keras import tf, tf_keras
from pipeline.networks.graph import HopGraph, Node
from pipeline.networks.trained import check_array
from pipeline.quantization.fake import mean_on_grid, on_grid, product_on_grid, requantized
from pipeline.quantization.scheme import Scheme
from pipeline.quantization.softmax import softmax_on_grid
from pipeline.training import skipping
from pipeline.training.kernels import kernel
from pipeline.training.matrix import Matrix
from pipeline.training.stash import Product, Stash

Values = dict[str, "tf.Tensor"]


class SequenceModel(tf_keras.Model):
    """Band features in, band mask out; ``model(features)`` is the sequence view.

    Args:
        graph: what is computed.
        arrays: see `Trained`.
        scheme: of its integers; `FLOAT` for none.

    Attributes:
        stash: how training keeps what products read; None: as it is.

    Raises:
        InputError: an array is missing or has another shape; names it.
    """

    def __init__(
        self, graph: HopGraph, arrays: Mapping[str, NDArray[np.float32]], scheme: Scheme
    ) -> None:
        super().__init__(name="network")
        self.graph, self.scheme = graph, scheme
        self.grids = {name: scheme.grid(role) for name, role in graph.roles().items()}
        multiplied = graph.multiplied()
        self.matrices = [
            Matrix(
                node.matrix,
                graph.matrix_shape(node),
                scheme.quantize_weights,
                node.normalize,
                node.matrix in multiplied,
            )
            for node in graph.nodes
            if node.matrix is not None
        ]
        self.stash: Stash | None = None
        self._of = {matrix.name: matrix for matrix in self.matrices}
        # Layers that stand behind a matrix's sums while a method trains with them.
        self.excitations: dict[str, tf_keras.layers.Layer] = {}
        self.set_arrays(arrays)
        found = {node.name: graph.window(node) for node in graph.nodes}
        self.windows = {name: delay for name, delay in found.items() if delay is not None}
        self._rings = graph.recurrences()
        self._kernels = {
            ring: kernel(region.kind, graph, ring, self._of, self.grids)
            for ring in self._rings
            for region in graph.regions
            if ring.issuperset(region.states)
        }

    def call(self, features: "tf.Tensor", training: bool = False) -> "tf.Tensor":
        """From a stream's start: ``[batch, time, bands]`` -> mask of that shape."""
        return self.observe(features, [self.graph.output], training)[self.graph.output]

    def resume(
        self, features: "tf.Tensor", memory: Values, training: bool = False
    ) -> tuple["tf.Tensor", Values]:
        """From a memory, which no gradient reaches: mask, and the memory after the last hop."""
        if self.graph.gate is not None:
            values, after = self._hop_by_hop(features, memory, [])
            return values[self.graph.output], after
        sequence = _Sequence(self, features, memory, training)
        mask = sequence.values_of([self.graph.output])[self.graph.output]
        return mask, sequence.memory()

    def observe(
        self, features: "tf.Tensor", names: Iterable[str], training: bool = False
    ) -> Values:
        """Tensors of all hops, ``[batch, time, *shape]``, on the way from features to mask."""
        memory = self.start(tf.shape(features)[0])
        if self.graph.gate is not None:
            return self._hop_by_hop(features, memory, names)[0]
        return _Sequence(self, features, memory, training).values_of(names)

    def hop(self, features: "tf.Tensor", memory: Values) -> tuple["tf.Tensor", Values]:
        """One-hop view: ``[batch, bands]`` and a memory -> mask ``[batch, bands]``, next memory."""
        known, following = self._hop(features, memory)
        return known[self.graph.output], following

    def _hop(self, features: "tf.Tensor", memory: Values) -> tuple[Values, Values]:
        """All tensors of a hop, the mask as it is applied, and the next memory."""
        known = dict(memory)
        for node in self.graph.nodes:
            if node.op == "input":
                known[node.name] = on_grid(features, self.grids[node.name])
            elif node.op == "delay":
                past = memory[node.name]
                known[node.name] = tf.concat([past[:, -delay] for delay in node.delays], axis=-1)
            elif node.op != "state":
                known[node.name] = self.compute(node, [known[name] for name in node.inputs])
        following = {state: known[becomes] for state, becomes in self.graph.next_state}
        for node in self.delays():
            frame = known[node.inputs[0]][:, None]
            following[node.name] = tf.concat([memory[node.name][:, 1:], frame], axis=1)
        if self.graph.gate is not None:
            mask, share = known[self.graph.output], known[self.graph.gate]
            known[self.graph.output], following = skipping.skipping(share, mask, following, memory)
        return known, following

    def _hop_by_hop(
        self, features: "tf.Tensor", memory: Values, names: Iterable[str]
    ) -> tuple[Values, Values]:
        """Mask and tensors of all hops, and the memory after the last."""
        hops = _time_major(tf.convert_to_tensor(features))
        wanted = {*names, self.graph.output}
        before = {name: tf.stop_gradient(value) for name, value in memory.items()}
        nothing = {name: tf.zeros([tf.shape(hops)[1], *self.graph[name].shape]) for name in wanted}

        def hop(last: tuple[Values, Values], heard: "tf.Tensor") -> tuple[Values, Values]:
            known, following = self._hop(heard, last[1])
            return {name: known[name] for name in wanted}, following

        with ExitStack() as held:
            for matrix in self.matrices:
                held.enter_context(matrix.held())
            values, after = tf.scan(hop, hops, (nothing, before))
        last = {name: value[-1] for name, value in after.items()}
        return {name: _time_major(value) for name, value in values.items()}, last

    def start(self, batch: int = 1) -> Values:
        """Memory of a stream that has just started: states, and the last frames of delays."""
        memory = {s: tf.zeros([batch, *self.graph[s].shape]) for s, _ in self.graph.next_state}
        for node in self.delays():
            shape = self.graph[node.inputs[0]].shape
            memory[node.name] = tf.zeros([batch, max(node.delays), *shape])
        if self.graph.gate is not None:
            memory |= skipping.start(batch, self.graph[self.graph.output].channels)
        return memory

    def delays(self) -> list[Node]:
        """Nodes that need frames of earlier hops."""
        return [node for node in self.graph.nodes if node.op == "delay"]

    def compute(self, node: Node, x: list["tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """A node's tensor from those it reads, of any number of leading axes."""
        grid = self.grids[node.name]
        if node.op in ("mul", "add", "sub"):
            for _ in range(x[0].shape.rank - x[1].shape.rank):
                x = [x[0], tf.expand_dims(x[1], -2)]
        if node.op == "concat":
            return tf.concat(x, axis=-1)
        if node.op == "slice":
            return x[0][..., node.begin : node.begin + node.channels]
        if node.op == "reshape":
            leading = x[0].shape.rank - len(self.graph[node.inputs[0]].shape)
            return tf.reshape(x[0], [*_leading(x[0], leading), *node.shape])
        if node.op == "transpose":
            leading = x[0].shape.rank - len(node.shape)
            order = [*range(leading), *(leading + axis for axis in node.order)]
            return tf.transpose(x[0], order)
        if node.op == "requantize":
            return requantized(x[0], self.grids[node.inputs[0]], grid)
        if node.op == "softmax":
            return softmax_on_grid(x[0], self.grids[node.inputs[0]], grid)
        if node.op == "matmul":
            first, second = (self.grids[name] for name in node.inputs)
            sums = tf.matmul(x[0], x[1], transpose_b=node.transposed)
            return product_on_grid(sums, first, second, grid)
        if node.op == "mean":
            return mean_on_grid(x[0], self.grids[node.inputs[0]], grid)
        if node.op == "sigmoid":
            return on_grid(tf.sigmoid(x[0]), grid)
        if node.op == "tanh":
            return on_grid(tf.tanh(x[0]), grid)
        if node.op == "mul":
            first, second = (self.grids[name] for name in node.inputs)
            return product_on_grid(x[0] * x[1], first, second, grid)
        if node.op == "add":
            y = x[0] + x[1]
        elif node.op == "sub":
            y = x[0] - x[1]
        else:
            y = self.sums(node, x[0])
        return self.finished(node, y, training)

    def finished(self, node: Node, y: "tf.Tensor", training: bool) -> "tf.Tensor":
        """Bias, normalization, limits and grid of a product or sum."""
        grid = self.grids[node.name]
        if node.matrix is not None:
            matrix = self._of[node.matrix]
            y += matrix.bias_value(self.grids[node.inputs[0]])
            if matrix.name in self.excitations:
                y = self.excitations[matrix.name](y, training=training)
            y = matrix.normalized(y, training) if node.normalize else y
        if node.limit is not None:
            y = tf.clip_by_value(y, -node.limit, node.limit)
        return on_grid(tf.nn.relu(y) if node.relu else y, grid)

    def sums(self, node: Node, x: "tf.Tensor") -> "tf.Tensor":
        """What a node's matrix makes of its input, before anything is added."""
        if node.op == "product":
            return self._linear(tf.matmul, node, x)
        bands, *lanes, channels = read = self.graph[node.inputs[0]].shape

        def convolution(rows: "tf.Tensor", weights: "tf.Tensor") -> "tf.Tensor":
            if node.op == "conv":
                across = [node.kernel, 1] if lanes else [1, node.kernel]
                kernel = tf.reshape(weights, [*across, channels, node.channels])
                return tf.nn.conv2d(rows, kernel, 1, "SAME")
            taps, side = channels // node.channels, node.kernel // 2
            rows = tf.reshape(rows, [-1, bands, taps, node.channels])
            rows = tf.pad(rows, [[0, 0], [side, side], [0, 0], [0, 0]])
            kernel = tf.reshape(weights, [node.kernel, taps, node.channels, 1])
            return tf.nn.depthwise_conv2d(rows, kernel, [1, 1, 1, 1], "VALID")

        plane = [bands, *lanes] if lanes else [1, bands]
        sums = self._linear(convolution, node, tf.reshape(x, [-1, *plane, channels]))
        return tf.reshape(sums, [*_leading(x, x.shape.rank - len(read)), *node.shape])

    def _linear(self, product: Product, node: Node, x: "tf.Tensor") -> "tf.Tensor":
        """A product with a node's weights; for the backward pass `x` is kept as `stash` says."""
        weights = self._of[str(node.matrix)].value()
        if self.stash is None:
            return product(x, weights)
        return self.stash.product(product, x, weights, self.grids[node.inputs[0]])

    def over_time(self, node: Node, delays: tuple[int, ...], x: "tf.Tensor") -> "tf.Tensor":
        """Sums of a convolution that reads frames and evenly delayed ones, for all hops at once.

        `x` begins with as many earlier frames as the longest delay reaches back.

        The values are those of `compute`; one dilated convolution makes no copy of every frame.
        """
        taps, dilation = len(delays) + 1, delays[-1]
        channels, side = x.shape[-1], node.kernel // 2

        def convolution(x: "tf.Tensor", weights: "tf.Tensor") -> "tf.Tensor":
            kernel = tf.reshape(weights, [node.kernel, taps, channels, node.channels])
            padded = tf.pad(x, [[0, 0], [0, 0], [side, side], [0, 0]])
            kernel = tf.transpose(kernel, [1, 0, 2, 3])
            return tf.nn.conv2d(padded, kernel, 1, "VALID", dilations=[dilation, 1])

        return self._linear(convolution, node, x)

    def get_arrays(self) -> dict[str, NDArray[np.float32]]:
        """All parameters and masks by name, see `Trained`."""
        return {
            f"{matrix.name}/{part}": getattr(matrix, part).numpy()
            for matrix in self.matrices
            for part in matrix.parts
        }

    def set_arrays(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Load what `get_arrays` returned.

        Raises:
            InputError: an array is missing or has another shape; names it.
        """
        for matrix in self.matrices:
            for part in matrix.parts:
                name, variable = f"{matrix.name}/{part}", getattr(matrix, part)
                if name not in arrays:
                    raise InputError(f"tensor {name!r} is missing")
                check_array(name, arrays[name], tuple(variable.shape))
                variable.assign(arrays[name])


class _Sequence:
    """One evaluation over all hops; every tensor is made once, when it is first asked for."""

    def __init__(
        self, model: SequenceModel, features: "tf.Tensor", memory: Values, training: bool
    ) -> None:
        self._model, self._graph, self._training = model, model.graph, training
        self._before = {name: tf.stop_gradient(frames) for name, frames in memory.items()}
        self._cells: Values = {}
        node = self._graph.features
        given = tf.convert_to_tensor(features)
        self._known: Values = {node.name: on_grid(given, model.grids[node.name])}
        self._ring_of = {name: ring for ring in model._rings for name in ring}
        self._becomes = dict(self._graph.next_state)
        self._state_of = {becomes: state for state, becomes in self._graph.next_state}

    def values_of(self, names: Iterable[str]) -> Values:
        return {name: self._value(name) for name in names}

    def memory(self) -> Values:
        """States and last frames after the last hop."""
        after = {}
        for state, becomes in self._becomes.items():
            last = self._cells.get(becomes)
            after[state] = self._value(becomes)[:, -1] if last is None else last
        for node in self._model.delays():
            after[node.name] = self._with_earlier(node)[:, -max(node.delays) :]
        return after

    def _with_earlier(self, node: Node) -> "tf.Tensor":
        """All frames that a delay reads: those before the first hop, then those of all hops."""
        return tf.concat([self._before[node.name], self._value(node.inputs[0])], axis=1)

    def _value(self, name: str) -> "tf.Tensor":
        if name in self._known:
            return self._known[name]
        node, ring = self._graph[name], self._ring_of.get(name)
        if ring is not None and name in self._becomes.values():
            self._run(ring)
            return self._known[name]
        if node.op == "state":
            after = self._value(self._becomes[name])
            value = tf.concat([self._before[name][:, None], after[:, :-1]], axis=1)
        elif node.op == "delay":
            frames = self._with_earlier(node)
            hops, reach = tf.shape(frames)[1], max(node.delays)
            value = tf.concat(
                [frames[:, reach - delay : hops - delay] for delay in node.delays], axis=-1
            )
        elif node.name in self._model.windows:
            delay = self._model.windows[node.name]
            sums = self._model.over_time(node, delay.delays, self._with_earlier(delay))
            value = self._model.finished(node, sums, self._training)
        else:
            inputs = [self._value(name) for name in node.inputs]
            value = self._model.compute(node, inputs, self._training)
        self._known[name] = value
        return value

    def _run(self, ring: frozenset[str]) -> None:
        """Compute what the states of a recurrence become."""
        inside = [node for node in self._graph.nodes if node.name in ring]
        outside = dict.fromkeys(n for node in inside for n in node.inputs if n not in ring)
        inputs = {name: self._value(name) for name in outside}
        kernel = self._model._kernels.get(ring)
        if kernel is not None:
            h, c = (self._before[self._state_of[name]] for name in (kernel.output, kernel.cell))
            hidden, self._cells[kernel.cell] = kernel(inputs[kernel.reads], h, c, self._model.stash)
            self._known[kernel.output] = hidden
        else:
            self._known |= _scan(self._model, inside, inputs, self._before)


def _scan(model: SequenceModel, inside: list[Node], inputs: Values, before: Values) -> Values:
    """A recurrence hop by hop, differentiated automatically."""
    states = [node for node in inside if node.op == "state"]
    becomes = {s: b for s, b in model.graph.next_state if any(n.name == s for n in states)}
    start = [before[node.name] for node in states]

    def hop(before: list["tf.Tensor"], now: Values) -> list["tf.Tensor"]:
        known = dict(now) | {node.name: x for node, x in zip(states, before, strict=True)}
        for node in inside:
            if node.op != "state":
                known[node.name] = model.compute(node, [known[name] for name in node.inputs])
        return [known[becomes[node.name]] for node in states]

    after = tf.scan(hop, {name: _time_major(x) for name, x in inputs.items()}, start)
    return {becomes[n.name]: _time_major(x) for n, x in zip(states, after, strict=True)}


def _time_major(x: "tf.Tensor") -> "tf.Tensor":
    """Exchange the first two axes."""
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def _leading(x: "tf.Tensor", axes: int) -> list["tf.Tensor"]:
    return [tf.shape(x)[axis] for axis in range(axes)]

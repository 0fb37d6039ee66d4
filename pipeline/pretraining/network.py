"""A network's graph as a JAX function of all hops: the third view, beside those of Keras."""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from pipeline.networks.graph import NORM_EPSILON, HopGraph, Node

Values = dict[str, jax.Array]


class NetworkFunction:
    """Mask of band features, differentiable in the network's arrays.

    Args:
        graph: what is computed; without a gate that skips hops.
    """

    def __init__(self, graph: HopGraph) -> None:
        self.graph = graph
        self._multiplied = graph.multiplied()
        self._rings = graph.recurrences()
        self._ring_of = {name: ring for ring in self._rings for name in ring}
        self._state_of = {becomes: state for state, becomes in graph.next_state}
        self._becomes = dict(graph.next_state)

    def start(self, batch: int) -> Values:
        """Memory of streams that have just started: states, and the last frames of delays."""
        graph = self.graph
        memory = {s: jnp.zeros((batch, *graph[s].shape)) for s, _ in graph.next_state}
        for node in self._delays():
            shape = graph[node.inputs[0]].shape
            memory[node.name] = jnp.zeros((batch, max(node.delays), *shape))
        return memory

    def __call__(
        self, arrays: Mapping[str, jax.Array], features: jax.Array, memory: Values, training: bool
    ) -> tuple[jax.Array, Values, Values]:
        """All hops at once.

        Args:
            arrays: see `Trained`.
            features: float32 ``[batch, time, bands]``.
            memory: of `start`, or what this returned; no gradient reaches it.
            training: normalize by the batch's own moments.

        Returns:
            Mask ``[batch, time, bands]``, the memory after the last hop, and the batch's moments
            ``<matrix>/mean|variance`` if training.
        """
        before = {name: lax.stop_gradient(value) for name, value in memory.items()}
        run = _Run(self, arrays, features, before, training)
        mask = run.value(self.graph.output)
        return mask, run.memory(), run.moments

    def _delays(self) -> list[Node]:
        return [node for node in self.graph.nodes if node.op == "delay"]


class _Run:
    """One evaluation; every tensor is made once, when it is first asked for."""

    def __init__(
        self,
        function: NetworkFunction,
        arrays: Mapping[str, jax.Array],
        features: jax.Array,
        before: Values,
        training: bool,
    ) -> None:
        self._of, self._graph = function, function.graph
        self._arrays, self._before, self._training = arrays, before, training
        self._known: Values = {self._graph.features.name: features}
        self.moments: Values = {}

    def memory(self) -> Values:
        after = {state: self.value(becomes)[:, -1] for state, becomes in self._graph.next_state}
        for node in self._of._delays():
            after[node.name] = self._with_earlier(node)[:, -max(node.delays) :]
        return after

    def value(self, name: str) -> jax.Array:
        """A tensor of all hops, ``[batch, time, *shape]``."""
        if name not in self._known:
            self._known[name] = self._made(self._graph[name])
        return self._known[name]

    def _made(self, node: Node) -> jax.Array:
        if node.name in self._of._state_of:
            self._recur(self._of._ring_of[node.name])
            return self._known[node.name]
        if node.op == "state":
            after = self.value(self._of._becomes[node.name])
            return jnp.concatenate([self._before[node.name][:, None], after[:, :-1]], axis=1)
        if node.op == "delay":
            frames = self._with_earlier(node)
            reach = max(node.delays)
            hops = frames.shape[1]
            shifted = [frames[:, reach - delay : hops - delay] for delay in node.delays]
            return jnp.concatenate(shifted, axis=-1)
        return self._compute(node, [self.value(name) for name in node.inputs])

    def _with_earlier(self, node: Node) -> jax.Array:
        return jnp.concatenate([self._before[node.name], self.value(node.inputs[0])], axis=1)

    def _recur(self, ring: frozenset[str]) -> None:
        """Compute what the states of a recurrence become, hop by hop.

        A product that reads a concatenation of what the recurrence makes and of what it does not
        is a sum of two: the second is made here for all hops at once.
        """
        graph = self._graph
        inside = [node for node in graph.nodes if node.name in ring and node.op != "state"]
        split = {node.name: graph[node.inputs[0]] for node in inside if node.op == "product"}
        split = {name: read for name, read in split.items() if self._can_split(read, ring)}
        outer: Values = {}
        for name, read in split.items():
            outer[name] = self._partial(graph[name], read, set(read.inputs) - ring, self.value)
        inside = [node for node in inside if not self._only_split(node, split)]
        for node in inside:
            if node.name not in split:
                outer |= {x: self.value(x) for x in node.inputs if x not in ring}
        states = [name for name in ring if graph[name].op == "state"]
        becomes = {state: self._of._becomes[state] for state in states}

        def hop(memory: Values, now: Values) -> tuple[Values, Values]:
            known = {**now, **memory}
            for node in inside:
                if node.name in split:
                    read = split[node.name]
                    sums = now[node.name] + self._partial(
                        node, read, ring.intersection(read.inputs), known.__getitem__
                    )
                    known[node.name] = self._finished(node, sums)
                else:
                    known[node.name] = self._compute(node, [known[x] for x in node.inputs])
            after = {state: known[becomes[state]] for state in states}
            return after, {becomes[state]: after[state] for state in states}

        memory = {state: self._before[state] for state in states}
        _, made = lax.scan(hop, memory, {k: jnp.moveaxis(x, 1, 0) for k, x in outer.items()})
        self._known |= {name: jnp.moveaxis(x, 0, 1) for name, x in made.items()}

    def _can_split(self, read: Node, ring: frozenset[str]) -> bool:
        return read.op == "concat" and read.name in ring and not ring.issuperset(read.inputs)

    def _only_split(self, node: Node, split: Mapping[str, Node]) -> bool:
        """Whether nothing needs a concatenation but products that read its parts."""
        readers = self._graph.readers(node.name)
        return node in split.values() and all(reader.name in split for reader in readers)

    def _partial(self, node: Node, read: Node, parts: Iterable[str], value) -> jax.Array:  # type: ignore[no-untyped-def]
        """Sums that some parts of a concatenation contribute to a product."""
        kernel, first, total = self._kernel(node), 0, None
        for name in read.inputs:
            rows = self._graph[name].channels
            if name in parts:
                sums = value(name) @ kernel[first : first + rows]
                total = sums if total is None else total + sums
            first += rows
        assert total is not None
        return total

    def _kernel(self, node: Node) -> jax.Array:
        return self._arrays[f"{node.matrix}/kernel"] * self._arrays[f"{node.matrix}/mask"]

    def _compute(self, node: Node, x: list[jax.Array]) -> jax.Array:
        """A node's tensor from those it reads, of any number of leading axes."""
        leading = x[0].shape[: x[0].ndim - len(self._graph[node.inputs[0]].shape)]
        if node.op in ("mul", "add", "sub"):
            for _ in range(x[0].ndim - x[1].ndim):
                x = [x[0], jnp.expand_dims(x[1], -2)]
        match node.op:
            case "concat":
                return jnp.concatenate(x, axis=-1)
            case "slice":
                return x[0][..., node.begin : node.begin + node.channels]
            case "reshape":
                return x[0].reshape(*leading, *node.shape)
            case "transpose":
                axes = (len(leading) + axis for axis in node.order)
                return x[0].transpose(*range(len(leading)), *axes)
            case "requantize":
                return x[0]
            case "softmax":
                return jax.nn.softmax(x[0])
            case "matmul":
                return x[0] @ (jnp.swapaxes(x[1], -1, -2) if node.transposed else x[1])
            case "mean":
                return x[0].mean(axis=-2)
            case "sigmoid":
                return jax.nn.sigmoid(x[0])
            case "tanh":
                return jnp.tanh(x[0])
            case "mul":
                return x[0] * x[1]
            case "add":
                return self._limited(node, x[0] + x[1])
            case "sub":
                return self._limited(node, x[0] - x[1])
            case "product":
                return self._finished(node, x[0] @ self._kernel(node))
            case _:
                return self._finished(node, self._convolved(node, x[0]))

    def _convolved(self, node: Node, x: jax.Array) -> jax.Array:
        """Sums of a convolution over bands."""
        bands, channels = self._graph[node.inputs[0]].shape
        rows, kernel = x.reshape(-1, bands, channels), self._kernel(node)
        layout = ("NWC", "WIO", "NWC")
        if node.op == "conv":
            kernel = kernel.reshape(node.kernel, channels, node.channels)
            sums = lax.conv_general_dilated(rows, kernel, (1,), "SAME", dimension_numbers=layout)
        else:
            taps = channels // node.channels
            rows = rows.reshape(-1, bands, taps, node.channels)
            side = node.kernel // 2
            rows = jnp.pad(rows, ((0, 0), (side, side), (0, 0), (0, 0)))
            kernel = kernel.reshape(node.kernel, taps, node.channels)
            sums = sum((rows[:, k : k + bands] * kernel[k]).sum(axis=2) for k in range(node.kernel))
        return sums.reshape(*x.shape[:-2], *node.shape)

    def _finished(self, node: Node, sums: jax.Array) -> jax.Array:
        """Bias, normalization and limits of a product."""
        bias = self._arrays[f"{node.matrix}/bias"]
        if node.matrix in self._of._multiplied:
            bias = bias * self._arrays[f"{node.matrix}/mask"].max(axis=0)
        sums = sums + bias
        if node.normalize:
            sums = self._normalized(str(node.matrix), sums)
        return self._limited(node, sums)

    def _normalized(self, matrix: str, sums: jax.Array) -> jax.Array:
        """Batch-normalize over all axes but the last (Ioffe & Szegedy, 2015)."""
        mean, variance = (self._arrays[f"{matrix}/{part}"] for part in ("mean", "variance"))
        if self._training:
            axes = tuple(range(sums.ndim - 1))
            mean, variance = sums.mean(axes), sums.var(axes)
            count = sums.size // sums.shape[-1]
            self.moments[f"{matrix}/mean"] = lax.stop_gradient(mean)
            unbiased = variance * (count / max(count - 1, 1))
            self.moments[f"{matrix}/variance"] = lax.stop_gradient(unbiased)
        factor = self._arrays[f"{matrix}/gain"] / jnp.sqrt(variance + NORM_EPSILON)
        return (sums - mean) * factor + self._arrays[f"{matrix}/offset"]

    def _limited(self, node: Node, y: jax.Array) -> jax.Array:
        if node.limit is not None:
            y = jnp.clip(y, -node.limit, node.limit)
        return jax.nn.relu(y) if node.relu else y

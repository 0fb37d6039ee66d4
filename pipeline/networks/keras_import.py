"""A functional Keras model over ``[time, bands]`` -> the graph of one hop, and its weights.

What comes out is a network like any other here: streaming, prunable, exact in integers. A layer is
taken over if one hop of it can be written with the operators of `pipeline.networks.graph`; any
other is named together with what to do.

Differences to the model as Keras runs it: an LSTM's cell is clipped to +-8, and dropout is left
out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.graph import (
    DEPTHWISE_TAPS,
    MOVES,
    NORM_EPSILON,
    ROW_LIMIT,
    HopGraph,
    Net,
    Node,
)
from pipeline.networks.heads import attend
from pipeline.networks.tinylstms import lstm_cell
from pipeline.user_code import function_at

Arrays = dict[str, NDArray[np.float32]]
_GATES = 4
OTHER_DOOR = 'take the model through network = "tfmot", or write the layer with those'


class KerasImportError(InputError):
    """A model that cannot be taken over; the text names the layer and what to do."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """A network out of a Keras model.

    Attributes:
        graph: of one hop.
        arrays: of its matrices, see `Trained`.
    """

    graph: HopGraph
    arrays: Arrays


def load_keras(place: str) -> Any:
    """A model from a ``.keras`` or ``.h5`` file, or from ``module:function`` that returns one.

    Raises:
        KerasImportError: there is no such file or function, or it is no model.
    """
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    from pipeline.keras import tf_keras

    if Path(place).suffix in (".keras", ".h5"):
        if not Path(place).is_file():
            raise KerasImportError(f"{place}: there is no such file; check the path")
        try:
            # In the older format, and in any file that only calls itself .keras, the argument
            # alone does not keep the code of a Lambda layer from being run.
            with SafeModeScope(safe_mode=True):
                return tf_keras.models.load_model(place, compile=False, safe_mode=True)
        except Exception as error:
            # The loader raises whatever a damaged or foreign file makes it stumble over.
            raise KerasImportError(
                f"{place}: tf_keras (Keras 2) cannot read it ({_first_line(error)}); a model of "
                "Keras 3 has to be built again with tf_keras and given its weights: name the "
                "function that does it as module:function"
            ) from error
    if ":" not in place:
        raise KerasImportError(f"{place}: expected a .keras or .h5 file, or module:function")
    made = function_at(place)()
    if not isinstance(made, tf_keras.Model):
        raise KerasImportError(f"{place} returned {type(made).__name__}; expected a tf_keras model")
    return made


def from_keras(model: Any) -> Imported:
    """Take over a functional ``tf_keras`` model, trained or not.

    Args:
        model: of one input ``[batch, time, bands]`` and one output of that shape, the band mask.

    Raises:
        KerasImportError: names the layer that has no counterpart, and what to do.
    """
    return _Import(model).run()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class _Import:
    """One model on its way; nodes are written by a builder per layer, roles settled at the end."""

    def __init__(self, model: Any) -> None:
        from pipeline.keras import tf_keras

        self._model, self._layers = model, tf_keras.layers
        self._net, self._arrays = Net(), Arrays()
        self._made: dict[int, Node] = {}
        # What reads a tensor in the Keras model, to know what may be folded into its maker.
        self._uses: dict[int, int] = {}
        self._changes: dict[str, Node] = {}

    def run(self) -> Imported:
        inputs, outputs = self._model.inputs or [], self._model.outputs or []
        if len(inputs) != 1 or len(outputs) != 1:
            raise KerasImportError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs; expected a "
                "functional model with one of each"
            )
        if len(inputs[0].shape) != 3 or inputs[0].shape[-1] is None:
            raise KerasImportError(
                f"the input is {tuple(inputs[0].shape)}; expected [batch, time, bands]"
            )
        for layer in self._model.layers:
            for tensor in _as_list(layer.input):
                self._uses[id(tensor)] = self._uses.get(id(tensor), 0) + 1
        for layer in self._model.layers:
            if len(layer.inbound_nodes) > 1:
                raise self._refused(layer, "is used more than once")
            self._made[id(layer.output)] = self._node_of(layer)
        mask = self._made[id(outputs[0])]
        if mask.shape != (inputs[0].shape[-1],):
            raise KerasImportError(
                f"the output has {list(mask.shape)} values a hop; expected one a band, "
                f"{inputs[0].shape[-1]}"
            )
        graph = self._net.build(mask)
        graph = graph.replace(list(self._changes.values())) if self._changes else graph
        for matrix, shape in graph.matrices().items():
            self._arrays[f"{matrix}/mask"] = np.ones(shape, np.float32)
        return Imported(_with_shared_grids(graph), self._arrays)

    def _node_of(self, layer: Any) -> Node:
        layers = self._layers
        if isinstance(layer, layers.InputLayer):
            return self._net.input("features", (int(layer.output.shape[-1]),), "hidden")
        builders: list[tuple[Any, Callable[[Any, Any], Node]]] = [
            (layers.Dense, self._dense),
            (layers.LSTM, self._lstm),
            (layers.GRU, self._gru),
            (layers.Conv1D, self._conv1d),
            (layers.DepthwiseConv2D, self._depthwise),
            (layers.Conv2D, self._conv2d),
            (layers.BatchNormalization, self._normalization),
            (layers.ReLU, lambda layer, x: self._activated(layer, x, "relu")),
            (layers.Activation, lambda layer, x: self._activated(layer, x, _name_of(layer))),
            (layers.Reshape, self._reshape),
            (layers.AveragePooling2D, self._averaged),
            (layers.Permute, self._permuted),
            (layers.Softmax, self._softmax),
            (layers.ZeroPadding2D, lambda layer, x: x),
            (layers.Dropout, lambda layer, x: x),
        ]
        attentions: dict[Any, Callable[[Any], Node]] = {
            layers.MultiHeadAttention: self._heads,
            layers.Attention: self._attention,
        }
        if type(layer) in attentions:
            return attentions[type(layer)](layer)
        joined = {layers.Add: "add", layers.Subtract: "sub", layers.Multiply: "mul"}
        if type(layer) in joined:
            return self._joined(layer, joined[type(layer)])
        if isinstance(layer, layers.Concatenate):
            return self._concatenated(layer)
        for kind, build in builders:
            if type(layer) is kind:
                return build(layer, self._made[id(layer.input)])
        names = (*(k for k, _ in builders), *attentions, *joined)
        known = sorted(kind.__name__ for kind in names)
        raise self._refused(layer, f"has no counterpart; known are {', '.join(known)}, Concatenate")

    def _refused(self, layer: Any, reason: str) -> KerasImportError:
        return KerasImportError(
            f"layer {layer.name!r} ({type(layer).__name__}) {reason}; {OTHER_DOOR}"
        )

    def _matrix(self, name: str, kernel: NDArray[Any], bias: NDArray[Any] | None) -> None:
        self._arrays[f"{name}/kernel"] = np.ascontiguousarray(kernel, np.float32)
        self._arrays[f"{name}/bias"] = np.asarray(
            np.zeros(kernel.shape[1]) if bias is None else bias, np.float32
        )

    def _dense(self, layer: Any, x: Node) -> Node:
        self._matrix(layer.name, *_weights(layer))
        y = self._net.product(layer.name, x, layer.units, layer.name)
        return self._activated(layer, y, _name_of(layer))

    def _activated(self, layer: Any, x: Node, activation: str) -> Node:
        """What a layer's activation makes of `x`."""
        x = self._changes.get(x.name, x)
        if activation == "linear":
            return x
        if activation == "relu":
            limits = [getattr(layer, name, None) for name in ("max_value", "threshold")]
            if any(limits):
                raise self._refused(layer, "is a ReLU with a limit")
            makes_sums = x.op in ("product", "conv", "depthwise", "add")
            if not makes_sums or (self._uses.get(id(layer.input), 1) > 1 and not _owns(layer)):
                raise self._refused(layer, "is a ReLU of something other than a sum of its own")
            return self._changed(x, relu=True)
        if activation in ("sigmoid", "tanh"):
            make = getattr(self._net, activation)
            sums = "gate_input" if activation == "sigmoid" else "candidate_input"
            role = "gate" if activation == "sigmoid" else "candidate"
            if x.role == x.name:
                self._changed(x, role=sums)
            made: Node = make(f"{layer.name}_{activation}", x, role)
            return made
        if activation == "softmax":
            return self._softmax(layer, x)
        raise self._refused(
            layer, f"has the activation {activation!r}, not relu, sigmoid, tanh or softmax"
        )

    def _changed(self, node: Node, **how: Any) -> Node:
        self._changes[node.name] = dataclasses.replace(self._changes.get(node.name, node), **how)
        return self._changes[node.name]

    def _lstm(self, layer: Any, x: Node) -> Node:
        self._check_recurrent(layer, x)
        kernel, recurrent, bias = _recurrent_weights(layer)
        rows = np.vstack([kernel, recurrent])
        i, f, c, o = np.split(rows, _GATES, axis=1)
        bi, bf, bc, bo = np.split(bias, _GATES)
        name = layer.name
        self._matrix(f"{name}_gates", np.hstack([i, f, o]), np.concatenate([bi, bf, bo]))
        self._matrix(f"{name}_candidate", c, bc)
        h = self._net.state(f"{name}_h", (layer.units,), "hidden")
        c_state = self._net.state(f"{name}_c", (layer.units,), "cell")
        return lstm_cell(self._net, name, x, h, c_state)

    def _gru(self, layer: Any, x: Node) -> Node:
        """Update z, reset r, candidate g; h' = g + z (h - g), the reset after the product."""
        self._check_recurrent(layer, x)
        if not layer.reset_after:
            raise self._refused(layer, "has reset_after=False; build it with reset_after=True")
        name, net, units = layer.name, self._net, layer.units
        kernel, recurrent, bias = _recurrent_weights(layer)
        bias = np.zeros((2, 3 * units), np.float32) if bias.ndim == 1 else bias
        gates = np.vstack([kernel[:, : 2 * units], recurrent[:, : 2 * units]])
        self._matrix(f"{name}_gates", gates, bias.sum(axis=0)[: 2 * units])
        self._matrix(f"{name}_input", kernel[:, 2 * units :], bias[0, 2 * units :])
        self._matrix(f"{name}_recurrent", recurrent[:, 2 * units :], bias[1, 2 * units :])
        h = net.state(f"{name}_h", (units,), "hidden")
        read = net.concat(f"{name}_xh", x, h)
        sums = net.product(f"{name}_gate_input", read, 2 * units, "gate_input", f"{name}_gates")
        z, r = net.split([f"{name}_z", f"{name}_r"], net.sigmoid(f"{name}_gate", sums, "gate"))
        given = net.product(f"{name}_given", x, units, f"{name}_given", f"{name}_input")
        kept = net.product(f"{name}_kept", h, units, f"{name}_kept", f"{name}_recurrent")
        reset = net.mul(f"{name}_reset", r, kept, f"{name}_kept")
        total = net.add(f"{name}_candidate_input", given, reset, "candidate_input")
        g = net.tanh(f"{name}_candidate", total, "hidden")
        step = net.mul(f"{name}_step", z, net.sub(f"{name}_change", h, g), f"{name}_change")
        h_next = net.add(f"{name}_h_next", g, step, "hidden")
        net.next(h, h_next)
        return h_next

    def _check_recurrent(self, layer: Any, x: Node) -> None:
        gates, candidate = (
            getattr(function, "__name__", "") if function else "linear"
            for function in (layer.recurrent_activation, layer.activation)
        )
        if (gates, candidate) != ("sigmoid", "tanh"):
            raise self._refused(layer, f"has activations {gates} and {candidate}")
        if not layer.return_sequences or layer.go_backwards or len(x.shape) != 1:
            raise self._refused(layer, "does not give every hop's output, forwards")

    def _conv1d(self, layer: Any, x: Node) -> Node:
        if layer.padding != "causal" and layer.kernel_size != (1,):
            raise self._refused(layer, f"has padding {layer.padding!r}, a stream needs 'causal'")
        if layer.strides != (1,) or layer.groups != 1 or len(x.shape) != 1:
            raise self._refused(layer, "has strides or groups")
        kernel, bias = _weights(layer)
        self._matrix(layer.name, kernel.reshape(-1, layer.filters), bias)
        read = self._with_past(layer.name, x, layer.kernel_size[0], layer.dilation_rate[0])
        y = self._net.product(layer.name, read, layer.filters, layer.name)
        return self._activated(layer, y, _name_of(layer))

    def _with_past(self, name: str, x: Node, taps: int, dilation: int) -> Node:
        """The frames under a kernel over time, oldest first, side by side in the channels."""
        if taps == 1:
            return x
        past = self._net.delay(x, *(dilation * tap for tap in range(taps - 1, 0, -1)))
        return self._net.concat(f"{name}_read", past, x)

    def _conv2d(self, layer: Any, x: Node) -> Node:
        taps, kernel_bands, dilation = self._causal_kernel(layer, x)
        kernel, bias = _weights(layer)  # [time, bands, inputs, outputs]
        self._matrix(layer.name, kernel.swapaxes(0, 1).reshape(-1, layer.filters), bias)
        read = self._with_past(layer.name, x, taps, dilation)
        y = self._net.conv(layer.name, read, layer.filters, kernel_bands)
        return self._activated(layer, y, _name_of(layer))

    def _depthwise(self, layer: Any, x: Node) -> Node:
        taps, kernel_bands, dilation = self._causal_kernel(layer, x)
        if taps > DEPTHWISE_TAPS or layer.depth_multiplier != 1:
            raise self._refused(layer, f"spans over {DEPTHWISE_TAPS} hops or multiplies channels")
        kernel = layer.get_weights()[0][..., 0].swapaxes(0, 1).reshape(-1, x.channels)
        self._matrix(layer.name, kernel, layer.get_weights()[1] if layer.use_bias else None)
        read = self._with_past(layer.name, x, taps, dilation)
        y = self._net.depthwise(layer.name, read, kernel_bands, taps=taps)
        return self._activated(layer, y, _name_of(layer))

    def _causal_kernel(self, layer: Any, x: Node) -> tuple[int, int, int]:
        """Taps over time, kernel over bands and dilation over time of a layer on [time, bands]."""
        (taps, bands), (dilation, band_dilation) = layer.kernel_size, layer.dilation_rate
        if tuple(layer.strides) != (1, 1) or getattr(layer, "groups", 1) != 1:
            raise self._refused(layer, "has strides or groups; reshape bands into channels instead")
        if len(x.shape) != 2 or bands % 2 == 0 or band_dilation != 1:
            raise self._refused(
                layer, "needs an odd, undilated kernel over [time, bands, channels]"
            )
        before = getattr(_maker(layer), "padding", None)
        padded = ((dilation * (taps - 1), 0), (bands // 2, bands // 2))
        is_padded = isinstance(_maker(layer), self._layers.ZeroPadding2D) and before == padded
        alone = (layer.padding == "same" and taps == 1) or (taps, bands) == (1, 1)
        if not (alone or (layer.padding == "valid" and is_padded)):
            raise self._refused(
                layer,
                "looks ahead or loses bands; a stream needs ZeroPadding2D"
                f"({padded}) before it and padding='valid'",
            )
        return taps, bands, dilation

    def _normalization(self, layer: Any, x: Node) -> Node:
        """Normalization of the sums before it; its running statistics come along."""
        x = self._changes.get(x.name, x)
        if x.matrix is None or x.relu or x.normalize or self._uses[id(layer.input)] > 1:
            raise self._refused(layer, "does not follow a convolution or Dense of its own")
        mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        parts = {
            "gain": np.asarray(layer.gamma) if layer.scale else np.ones_like(mean),
            "offset": np.asarray(layer.beta) if layer.center else np.zeros_like(mean),
            "mean": mean,
            "variance": np.maximum(variance + (layer.epsilon - NORM_EPSILON), 0.0),
        }
        for part, values in parts.items():
            self._arrays[f"{x.matrix}/{part}"] = values.astype(np.float32)
        return self._changed(x, normalize=True)

    def _reshape(self, layer: Any, x: Node) -> Node:
        shape = tuple(int(size) for size in layer.output.shape[2:])
        kept = layer.target_shape[0] == -1 or layer.output.shape[1] == layer.input.shape[1]
        if not kept or np.prod(shape) != np.prod(x.shape) or len(shape) > 3:
            raise self._refused(
                layer, "moves values between hops; its target shape must begin with -1 for time"
            )
        if shape == x.shape:
            return x
        return self._net.reshape(layer.name, self._changes.get(x.name, x), *shape)

    def _permuted(self, layer: Any, x: Node) -> Node:
        if layer.dims[0] != 1:
            raise self._refused(layer, "exchanges time with other axes; its dims must begin with 1")
        return self._net.transpose(layer.name, x, *(axis - 2 for axis in layer.dims[1:]))

    def _softmax(self, layer: Any, x: Node) -> Node:
        axis = getattr(layer, "axis", -1)
        if axis not in (-1, len(layer.output.shape) - 1):
            raise self._refused(layer, f"has axis {axis}, not the last one")
        if x.channels > ROW_LIMIT:
            raise self._refused(layer, f"goes over more than {ROW_LIMIT} values")
        return self._net.softmax(f"{layer.name}_softmax", x)

    def _averaged(self, layer: Any, x: Node) -> Node:
        bands = x.shape[0]
        whole = (1, bands)
        sizes = (tuple(layer.pool_size), tuple(layer.strides))
        if len(x.shape) != 2 or sizes != (whole, whole) or bands & (bands - 1):
            raise self._refused(
                layer, f"does not average over all bands, a power of two: pool_size={whole}"
            )
        return self._net.reshape(layer.name, self._net.mean(f"{layer.name}_mean", x), 1, x.channels)

    def _attended(self, layer: Any) -> tuple[Node, Node, Node]:
        """Query, value and key of an attention over bands; without a key, the value is it."""
        call, names = layer.inbound_nodes[0], ("query", "value", "key")
        tensors = call.call_args[0] if isinstance(call.call_args[0], list) else call.call_args
        given = dict(zip(names, tensors)) | call.call_kwargs
        options = [
            n for n, x in given.items() if n not in names and x is not None and x is not False
        ]
        if options:
            raise self._refused(layer, f"is called with {', '.join(options)}")
        made = {name: self._made[id(given[name])] for name in names if given.get(name) is not None}
        query, value = made["query"], made["value"]
        key = made.get("key", value)
        if any(len(node.shape) < 2 for node in (query, value, key)):
            raise self._refused(layer, "attends to other hops; reshape bands into [time, bands, n]")
        if max(value.shape[-2], query.channels) > ROW_LIMIT:
            raise self._refused(layer, f"sums over more than {ROW_LIMIT} bands or channels")
        return query, value, key

    def _attention(self, layer: Any) -> Node:
        """softmax(query key') value, without weights."""
        if layer.use_scale or layer.score_mode != "dot" or layer.causal:
            raise self._refused(layer, "has a scale, a causal mask or concatenated scores")
        query, value, key = self._attended(layer)
        scores = self._net.matmul(f"{layer.name}_scores", query, key, "scores", transposed=True)
        return self._net.matmul(
            layer.name, self._net.softmax(f"{layer.name}_shares", scores), value
        )

    def _heads(self, layer: Any) -> Node:
        """The keys' scale of 1 / sqrt(channels) becomes part of the queries' matrix."""
        sizes = layer.get_config()
        query, value, key = self._attended(layer)
        over_bands = sizes["attention_axes"] in ((2,), [2], 2)
        if not over_bands or any(len(node.shape) != 2 for node in (query, value, key)):
            raise self._refused(layer, "does not attend over bands alone: give attention_axes=(2,)")
        weights = iter(layer.get_weights())
        parts = []
        for part, x in (("query", query), ("key", key), ("value", value)):
            kernel = next(weights).reshape(x.channels, -1)
            bias = next(weights).ravel() if sizes["use_bias"] else None
            if part == "query":
                scale = np.float32(1 / np.sqrt(sizes["key_dim"]))
                kernel, bias = kernel * scale, None if bias is None else bias * scale
            name = f"{layer.name}_{part}"
            self._matrix(name, kernel, bias)
            parts.append(self._net.product(name, x, kernel.shape[1], name))
        found = attend(self._net, layer.name, parts[0], parts[1], parts[2], sizes["num_heads"])
        kernel = next(weights).reshape(found.channels, -1)
        self._matrix(layer.name, kernel, next(weights) if sizes["use_bias"] else None)
        return self._net.product(layer.name, found, kernel.shape[1], layer.name)

    def _joined(self, layer: Any, op: str) -> Node:
        nodes = [self._made[id(tensor)] for tensor in layer.input]
        if op != "sub":
            nodes.sort(key=lambda node: -int(np.prod(node.shape)))
        whole = nodes[0].shape
        if any(node.shape not in (whole, (1, *whole[1:])) for node in nodes):
            raise self._refused(layer, f"has shapes {[list(node.shape) for node in nodes]}")
        y = nodes[0]
        for k, node in enumerate(nodes[1:], start=1):
            name = layer.name if k == len(nodes) - 1 else f"{layer.name}_{k}"
            y = getattr(self._net, op)(name, y, node, name)
        return y

    def _concatenated(self, layer: Any) -> Node:
        if layer.axis not in (-1, len(layer.output.shape) - 1):
            raise self._refused(layer, f"has axis {layer.axis}, not the last one")
        return self._net.concat(layer.name, *(self._made[id(t)] for t in layer.input))


def _with_shared_grids(graph: HopGraph) -> HopGraph:
    """Give what stands side by side, and a state with what it becomes, one role, hence one grid.

    Where these differ, the range is measured for all of them together.
    """
    origin: dict[str, str] = {}
    for node in graph.nodes:
        moved = node.op in MOVES
        origin[node.name] = origin[node.inputs[0]] if moved else node.name
    pairs = [
        (origin[node.inputs[0]], origin[other])
        for node in graph.nodes
        if node.op == "concat"
        for other in node.inputs[1:]
    ]
    pairs += [(origin[state], origin[becomes]) for state, becomes in graph.next_state]
    together: list[set[str]] = []
    for pair in pairs:
        joined = {*pair, *(name for group in together if group & set(pair) for name in group)}
        together = [group for group in together if not group & joined] + [joined]
    changed = []
    for group in together:
        names = [node.name for node in graph.nodes if node.name in group]
        roles = {graph[name].role for name in names}
        if len(roles) > 1:
            role = f"{names[0]}_and_others"
            changed += [dataclasses.replace(graph[name], role=role) for name in names]
    return graph.replace(changed)


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _maker(layer: Any) -> Any:
    """The layer whose output this one reads."""
    return layer.inbound_nodes[0].inbound_layers


def _owns(layer: Any) -> bool:
    """Whether an activation belongs to the layer that makes the sums."""
    return hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")


def _name_of(layer: Any) -> str:
    return str(getattr(layer.activation, "__name__", layer.activation))


def _weights(layer: Any) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    weights = layer.get_weights()
    return weights[0], weights[1] if layer.use_bias else None


def _recurrent_weights(layer: Any) -> tuple[NDArray[np.float32], ...]:
    kernel, recurrent, *bias = layer.get_weights()
    return kernel, recurrent, bias[0] if bias else np.zeros(kernel.shape[1], np.float32)

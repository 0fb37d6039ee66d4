"""Our own networks for the optimization toolkit: a Keras model over time, and its one-hop form.

The toolkit trains a functional Keras model that computes all hops at once. What is deployed is the
model of one hop, with earlier frames as inputs, see `pipeline.runners`: the same weights on the
same ranges, so that this door and ours lead to networks that do the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.testset import Mixture
from pipeline.dsp import FRAME_SAMPLES, FrontEnd
from pipeline.keras import tf, tf_keras
from pipeline.networks.graph import HopGraph, Node
from pipeline.networks.trained import Trained
from pipeline.producers.settings import check_known
from pipeline.producers.tfmot import Problem
from pipeline.training.batches import Batch, MixtureSource, prefetched
from pipeline.training.loss import enhancement_loss

# What the loss needs of a mixture, side by side in a target.
_TARGETS = tuple(field.name for field in fields(Batch) if field.name != "features")
_BINS = FRAME_SAMPLES // 2 + 1


def enhancement(
    trained: Trained,
    source: MixtureSource,
    validation: Iterable[Mixture],
    *,
    batch_size: int,
    epoch_steps: int,
    spectral_weight: float,
    judge: Callable[[tf_keras.Model], Mapping[str, float]],
) -> Problem:
    """What the built-in networks are trained for, as a problem for the toolkit.

    Args:
        trained: a dense floating-point network; the toolkit starts from its weights.
        source: mixtures to train with, others in every epoch.
        validation: mixtures that the loss is reported on.
        batch_size: crops in a batch.
        epoch_steps: batches in an epoch.
        spectral_weight: see `enhancement_loss`.
        judge: what else to report of the network.

    Raises:
        ProducerError: the toolkit knows no such network; names the node.
    """
    graph, front_end = trained.graph, trained.front_end
    check_known(graph)
    widths = [front_end.bands if name.endswith("_bands") else _BINS for name in _TARGETS]

    def loss(targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        parts = dict(zip(_TARGETS, tf.split(targets, widths, axis=-1), strict=True))
        return enhancement_loss(mask, Batch(features=mask, **parts), spectral_weight)

    held_out = [Batch.from_audio(m.noisy[None], m.clean[None], front_end) for m in validation]
    return Problem(
        model=over_time(graph, trained.arrays),
        train=_training_data(source, front_end, batch_size, epoch_steps, sum(widths)),
        valid=_data_set(lambda: map(_example, held_out), front_end.bands, sum(widths)),
        loss=loss,
        judge=judge,
        deployed=lambda quantized: one_hop(graph, quantized),
    )


def _training_data(
    source: MixtureSource, front_end: FrontEnd, batch_size: int, epoch_steps: int, width: int
) -> tf.data.Dataset:
    epochs = count()

    def epoch() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        first = next(epochs) * epoch_steps
        steps = range(first, first + epoch_steps)
        return map(_example, prefetched(source, front_end, batch_size, steps))

    data = _data_set(epoch, front_end.bands, width)
    return data.apply(tf.data.experimental.assert_cardinality(epoch_steps))


def _example(batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    targets = np.concatenate([getattr(batch, name) for name in _TARGETS], axis=-1)
    return batch.features, targets


def _data_set(examples: Callable[[], Iterable[Any]], bands: int, width: int) -> tf.data.Dataset:
    shapes = ([None, None, bands], [None, None, width])
    signature = tuple(tf.TensorSpec(shape, tf.float32) for shape in shapes)
    return tf.data.Dataset.from_generator(examples, output_signature=signature)


def over_time(graph: HopGraph, arrays: Mapping[str, NDArray[np.float32]]) -> tf_keras.Model:
    """A network as a functional Keras model, ``[batch, time, bands]`` in and out.

    A convolution over frames is one over time, dilated, its past zero before the first hop. Layers
    are named like the nodes.
    """
    layers = tf_keras.layers
    values: dict[str, Any] = {}
    for node in graph.nodes:
        x = [values.get(name) for name in node.inputs]
        if node.op == "input":
            y = layers.Input((None, *node.shape), name=node.name)
        elif node.op in ("delay", "concat"):
            continue  # What reads a window reads the tensor in it.
        elif node.op == "reshape":
            y = layers.Reshape((-1, *node.shape), name=node.name)(x[0])
        elif node.op == "sigmoid":
            y = layers.Activation("sigmoid", name=node.name)(x[0])
        elif node.op == "add":
            y = layers.Add(name=f"{node.name}_sum" if node.relu else node.name)(x)
            y = layers.ReLU(name=node.name)(y) if node.relu else y
        else:
            y = _convolved(graph, node, values, arrays)
        values[node.name] = y
    return tf_keras.Model(values[graph.features.name], values[graph.output])


def _convolved(
    graph: HopGraph,
    node: Node,
    values: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.float32]],
) -> Any:
    layers, delay = tf_keras.layers, graph.window(node)
    x = values[delay.inputs[0] if delay else node.inputs[0]]
    if x.shape.rank == 3:  # A product of a tensor without bands.
        layer: Any = layers.Dense(
            node.channels, activation="relu" if node.relu else None, name=node.name
        )
    else:
        taps, dilation = (len(delay.delays) + 1, delay.delays[-1]) if delay else (1, 1)
        side, before = node.kernel // 2, delay.delays[0] if delay else 0
        if side or before:
            padding = ((before, 0), (side, side))
            x = layers.ZeroPadding2D(padding, name=f"{node.name}_padding")(x)
        layer = layers.Conv2D(
            node.channels,
            (taps, node.kernel),
            dilation_rate=(dilation, 1),
            activation="relu" if node.relu else None,
            name=node.name,
        )
    y = layer(x)
    kernel = arrays[f"{node.matrix}/kernel"]
    if x.shape.rank == 4:
        kernel = np.moveaxis(kernel.reshape(node.kernel, taps, -1, node.channels), 1, 0)
    layer.set_weights([kernel, arrays[f"{node.matrix}/bias"]])
    return y


class _OnGrid(tf_keras.layers.Layer):  # type: ignore[misc]
    """Rounds to 8-bit steps of a range, which the converter then takes for the tensor's."""

    def __init__(self, lowest: float, highest: float, **options: Any) -> None:
        super().__init__(**options)
        self._range = lowest, highest

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_args(x, *self._range)


class _Product(tf_keras.layers.Layer):  # type: ignore[misc]
    """A convolution by an 8-bit kernel, of ``[1, bands, channels]`` or ``[1, channels]``."""

    def __init__(self, node: Node, wrapper: Any, **options: Any) -> None:
        super().__init__(**options)
        ((kernel, quantizer, ranges),) = wrapper._weight_vars
        # Zeros and clusters are where the quantizer puts them, not in the variable.
        kernel = quantizer(kernel, training=False, weights=ranges).numpy()
        if kernel.ndim == 4:
            kernel = np.moveaxis(kernel, 0, 1)
        self._kernel = kernel.reshape(1, node.kernel, -1, node.channels)
        self._range = [np.broadcast_to(ranges[n].numpy(), node.channels) for n in _ENDS]
        self._bias, self._relu = wrapper.layer.bias.numpy(), node.relu

    def call(self, x: tf.Tensor) -> tf.Tensor:
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            self._kernel, *self._range, narrow_range=True
        )
        image = tf.reshape(x, [1, 1, -1, x.shape[-1]])
        y = tf.nn.conv2d(image, kernel, 1, "SAME") + self._bias
        y = tf.nn.relu(y) if self._relu else y
        return tf.reshape(y, [*x.shape[:-1], y.shape[-1]])


_ENDS = ("min_var", "max_var")


def one_hop(graph: HopGraph, quantized: tf_keras.Model) -> tf_keras.Model:
    """One hop of what the toolkit trained, its ranges as those of the tensors.

    Args:
        graph: of the network.
        quantized: its `over_time` model as the toolkit quantized it.

    Returns:
        A model of batch 1 with an input and an output for every frame that is kept.
    """
    ends = {weight.name: float(weight) for weight in quantized.weights if not weight.shape.rank}
    (heard,) = (layer.name for layer in quantized.layers if layer.name.startswith("quantize_layer"))
    layers, becomes = tf_keras.layers, dict[str, Any]()

    def on_grid(node: Node, x: Any, name: str) -> Any:
        """On the range of the tensor that a node makes, or shows again."""
        while node.op in ("delay", "reshape"):
            node = graph[node.inputs[0]]
        prefixes = [f"quant_{node.name}/{which}" for which in ("post_activation", "output")]
        prefixes += [f"{heard}/{heard}"] if node.op == "input" else []
        for prefix in prefixes:
            if f"{prefix}_min:0" in ends:
                low, high = ends[f"{prefix}_min:0"], ends[f"{prefix}_max:0"]
                return _OnGrid(low, high, name=name)(x)
        return layers.Activation("linear", name=name)(x)

    values: dict[str, Any] = {}
    for node in graph.nodes:
        x = [values[name] for name in node.inputs if name in values]
        if node.op in ("input", "delay"):
            values[node.name] = given = layers.Input(node.shape, 1, name=node.name)
            becomes[node.name] = given
            values[node.name] = on_grid(node, given, f"{node.name}_read")
            continue
        if node.op == "concat":
            y = layers.Concatenate(axis=-1)(x)
        elif node.op == "reshape":
            y = layers.Reshape(node.shape)(x[0])
        elif node.op == "sigmoid":
            y = layers.Activation("sigmoid")(x[0])
        elif node.op == "add":
            y = layers.Add()(x)
            y = layers.ReLU()(y) if node.relu else y
        else:
            y = _Product(node, quantized.get_layer(f"quant_{node.name}"))(x[0])
        values[node.name] = on_grid(node, y, node.name)
    kept = dict.fromkeys(node.inputs[0] for node in graph.nodes if node.op == "delay")
    outputs = [graph.output, *(name for name in kept if graph[name].op != "input")]
    return tf_keras.Model(list(becomes.values()), [values[name] for name in outputs])

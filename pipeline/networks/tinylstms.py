"""The TinyLSTMs band-mask network (Fedorov et al., 2020): LSTM, LSTM, Dense ReLU, Dense sigmoid.

Cell (Hochreiter & Schmidhuber, 1997; no peepholes), with x and h side by side so that one matrix
product serves both::

    i, f, o = sigmoid([x, h] @ gates + b);  g = tanh([x, h] @ candidate + b)
    c' = clip(f * c + i * g);               h' = o * tanh(c')

The cell is clipped to the range of its int16 grid in every scheme, float included: unbounded
cells (they pass +-100 on long streams) are what makes LSTMs lose quality in integers.
"""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.networks.graph import HopGraph, Net, Node
from pipeline.networks.rewrites import through_basis
from pipeline.networks.settings import NetworkSettings, Positive
from pipeline.quantization.scheme import CELL_LIMIT

FORGET_BIAS = 1.0
# Features are a quarter as large as standardized ones (dsp.frontend), so their weights start
# correspondingly larger.
INPUT_GAIN = 2.0


class TinyLSTMs(NetworkSettings):
    """Recurrent layers, a ReLU layer, a mask."""

    network: Literal["tinylstms"] = "tinylstms"
    """Which network."""
    lstm_units: Annotated[tuple[Positive, ...], Field(min_length=1)] = (256, 256)
    """Width of each recurrent layer."""
    dense_units: Positive = 128
    """Width of the ReLU layer."""

    def define(self) -> HopGraph:
        """The graph of one hop; with the default sizes 968,960 parameters."""
        net = Net()
        x = net.input("features", (self.bands,), "hidden")
        states = [
            (net.state(f"h{k}", (units,), "hidden"), net.state(f"c{k}", (units,), "cell"))
            for k, units in enumerate(self.lstm_units, start=1)
        ]
        for k, (h, c) in enumerate(states, start=1):
            x = lstm_cell(net, f"lstm{k}", x, h, c)
        x = net.product("dense_relu", x, self.dense_units, "relu", "dense", relu=True)
        x = net.product("mask_input", x, self.bands, "mask_input", "mask")
        return net.build(net.sigmoid("mask", x, "mask"))

    def initial(self, graph: HopGraph, seed: int) -> dict[str, NDArray[np.float32]]:
        """Kernels and biases to start training from."""
        from pipeline.keras import tf_keras

        arrays = {}
        for offset, name in enumerate(("dense", "mask"), start=1):
            glorot = tf_keras.initializers.GlorotUniform(seed=seed + offset)
            arrays[f"{name}/kernel"] = glorot(graph.matrices()[name]).numpy()
        inputs = self.bands
        for k, units in enumerate(self.lstm_units, start=1):
            for offset, part in enumerate(("gates", "candidate")):
                kernel = _recurrent_kernel(
                    inputs, units, graph.matrices()[f"lstm{k}_{part}"][1], seed + 10 * k + offset
                )
                arrays[f"lstm{k}_{part}/kernel"] = kernel
            bias = np.repeat(np.array([0.0, FORGET_BIAS, 0.0], np.float32), units)
            arrays[f"lstm{k}_gates/bias"] = bias
            inputs = units
        return arrays


def lstm_cell(net: Net, prefix: str, x: Node, h: Node, c: Node) -> Node:
    """Write one LSTM cell down.

    Args:
        net: the network under construction.
        prefix: begins the names of its tensors and of its matrices ``_gates`` and ``_candidate``.
        x: what it reads, on the grid of `h`.
        h, c: its states.

    Returns:
        What `h` becomes.
    """
    units = h.channels
    read = net.concat(f"{prefix}_xh", x, h)
    sums = net.product(f"{prefix}_gate_input", read, 3 * units, "gate_input", f"{prefix}_gates")
    gate = net.sigmoid(f"{prefix}_gate", sums, "gate")
    i, f, o = net.split([f"{prefix}_{part}" for part in "ifo"], gate)
    sums = net.product(
        f"{prefix}_candidate_input", read, units, "candidate_input", f"{prefix}_candidate"
    )
    g = net.tanh(f"{prefix}_candidate", sums, "candidate")
    kept = net.mul(f"{prefix}_kept", f, c, "cell")
    added = net.mul(f"{prefix}_added", i, g, "cell")
    c_next = net.add(f"{c.name}_next", kept, added, "cell", limit=CELL_LIMIT)
    cell_tanh = net.tanh(f"{prefix}_cell_tanh", c_next, "cell_tanh")
    h_next = net.mul(f"{h.name}_next", o, cell_tanh, "hidden")
    net.next(h, h_next)
    net.next(c, c_next)
    net.region("lstm", h, c)
    return h_next


def _recurrent_kernel(inputs: int, units: int, columns: int, seed: int) -> NDArray[np.float32]:
    """Glorot-uniform input rows over orthogonal recurrent rows, one square block a gate."""
    random = np.random.default_rng(seed)
    limit = INPUT_GAIN * np.sqrt(6.0 / (inputs + units))
    rows = random.uniform(-limit, limit, (inputs, columns))
    blocks = [np.linalg.qr(random.normal(size=(units, units)))[0] for _ in range(columns // units)]
    return np.vstack([rows, np.hstack(blocks)]).astype(np.float32)


def earlier_graph(sizes: dict[str, Any]) -> HopGraph:
    """The graph of a network that a file of an earlier version describes by its sizes."""
    ranks = sizes.pop("lstm_ranks", ())
    graph = TinyLSTMs.model_validate(sizes).define()
    for k, rank in enumerate(ranks, start=1):
        if rank:
            graph, _ = through_basis(graph, graph.readers(f"lstm{k}_xh"), rank)
    return graph

"""Channels scored by squeeze-and-excitation blocks that are trained with the network and leave it.

After UCP (Chang et al., 2020): a squeeze-and-excitation block after every convolution scales each
channel by a sigmoid of all channels' means; a channel's importance is its sigmoid averaged over the
data. Then the network goes on without the blocks and without the channels of little importance.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.structures import Energies
from pipeline.errors import InputError
from pipeline.keras import tf, tf_keras
from pipeline.networks.graph import HopGraph
from pipeline.networks.groups import NO_UNIT, Group, groups
from pipeline.training.model import SequenceModel

# Channels for one value of the bottleneck; at most so many channels share a single one.
SQUEEZE = 16
MOMENTUM = 0.99
# What a step takes off the weights meanwhile, as the published rate and weight decay do: without a
# pull on the weights they could take over what the blocks say.
DECAY = 1e-5


class ChannelExcitation(tf_keras.layers.Layer):
    """Scales channels by twice a sigmoid of their means over the crop, at first by exactly one.

    Args:
        name: of the matrix behind whose sums it stands.
        channels: how many.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__(name=f"{name}_excitation")
        hidden, biased = max(1, channels // SQUEEZE), channels <= SQUEEZE
        self._squeeze = tf_keras.layers.Dense(hidden, "relu", use_bias=biased)
        self._excite = tf_keras.layers.Dense(
            channels, "sigmoid", use_bias=biased, kernel_initializer="zeros"
        )
        self._squeeze.build((None, channels))
        self._excite.build((None, hidden))
        self.importance = self.add_weight(
            name="importance", shape=(channels,), initializer=_constant(0.5), trainable=False
        )
        self._open = self.add_weight(
            name="open", shape=(), initializer=_constant(1.0), trainable=False
        )

    def call(self, sums: "tf.Tensor", training: bool = False) -> "tf.Tensor":
        """Of ``[batch, ..., channels]``; without training every crop gets the average."""
        share = self.importance
        if training:
            means = tf.reduce_mean(sums, axis=list(range(1, sums.shape.rank - 1)))
            shares = self._excite(self._squeeze(means))
            now = tf.reduce_mean(shares, axis=0)
            self.importance.assign_add((1 - MOMENTUM) * self._open * (now - self.importance))
            share = tf.reshape(shares, [-1, *[1] * (sums.shape.rank - 2), shares.shape[-1]])
        return sums * (1 + self._open * (2 * share - 1))

    def close(self) -> NDArray[np.float32]:
        """Let everything pass from now on; returns the factors ``[channels]`` it ended with."""
        self._open.assign(0.0)
        factors: NDArray[np.float32] = 2 * self.importance.numpy()
        return factors


class ChannelExcitations:
    """A block behind every matrix outside recurrences whose outputs are units.

    Args:
        model: gets the blocks; they are among its weights, so a checkpoint has them.

    Raises:
        InputError: the network skips hops, so that blocks would not see all of them together.
    """

    def __init__(self, model: SequenceModel) -> None:
        if model.graph.gate is not None:
            raise InputError(
                "squeeze-and-excitation blocks look at all hops together, and a network that skips "
                "hops is trained hop by hop; put uniform_channels into a parent of skip_updates"
            )
        self._groups = groups(model.graph)
        self._matrices = [m for m in model.matrices if m.name in scored(model.graph, self._groups)]
        self._blocks = {m.name: ChannelExcitation(m.name, m.shape[1]) for m in self._matrices}
        model.excitations.update(self._blocks)

    def decay(self) -> None:
        """Take a step's share off the weights before the blocks."""
        for matrix in self._matrices:
            matrix.kernel.assign(matrix.kernel * (1 - DECAY))

    def importances(self) -> Energies:
        """Of every unit that has a score, by group: the mean over all of its channels.

        Channels that are added, or that stand in several places, are one unit [derived].
        """
        found = {}
        for group in self._groups:
            total, count = np.zeros(group.units), np.zeros(group.units)
            for tie in group.ties:
                if tie.axis == 1 and tie.matrix in self._blocks:
                    tied = tie.unit != NO_UNIT
                    importance = self._blocks[tie.matrix].importance.numpy()
                    np.add.at(total, tie.unit[tied], importance[tied])
                    np.add.at(count, tie.unit[tied], 1)
            if count.any():
                found[group.name] = total / count
        return found

    def close(self) -> None:
        """Take the blocks away; their average becomes part of the matrices.

        In the paper a normalization after the block makes up for it; folded networks have none
        [derived].
        """
        for matrix in self._matrices:
            factors = self._blocks[matrix.name].close()
            matrix.kernel.assign(matrix.kernel * factors)
            matrix.bias.assign(matrix.bias * factors)


def scored(graph: HopGraph, found: list[Group]) -> set[str]:
    """Matrices behind which blocks can stand."""
    inside = frozenset[str]().union(*graph.recurrences())
    made = {tie.matrix for group in found for tie in group.ties if tie.axis == 1}
    return {
        node.matrix
        for node in graph.nodes
        if node.matrix in made and node.op != "depthwise" and node.name not in inside
    }


def _constant(value: float) -> "tf_keras.initializers.Initializer":
    return tf_keras.initializers.Constant(value)

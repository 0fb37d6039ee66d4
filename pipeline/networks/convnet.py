"""A streaming convolutional band-mask network: an encoder and decoder over bands, blocks over time.

Neighbouring bands stand side by side in the channels, so that every halving of the bands is a
reshape, which costs a target nothing. In between, residual blocks read their input of this hop and
of earlier ones (causal dilated convolution over time) and add to it. No recurrence, so training
computes all hops at once; a target keeps the frames.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.networks.graph import HopGraph, Net, Node
from pipeline.networks.settings import NetworkSettings, Positive, glorot_uniform

KERNEL = 3
# Bands side by side at the outer and the inner resolution.
OUTER, INNER = 4, 8


class ConvNet(NetworkSettings):
    """Convolutions over bands and time."""

    network: Literal["convnet"]
    """Which network."""
    outer_channels: Positive = 32
    """Channels of encoder and decoder, at a quarter of the bands."""
    channels: Positive = 32
    """Channels of the blocks, at an eighth of the bands."""
    blocks: Positive = 8
    """Residual blocks."""
    taps: Annotated[int, Field(ge=2)] = 3
    """Hops that a block reads."""
    dilations: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Hops between them, block by block, over and over."""

    @model_validator(mode="after")
    def _bands_divide(self) -> "ConvNet":
        if self.bands % INNER:
            raise ValueError(f"bands = {self.bands} is no multiple of {INNER}; choose one")
        return self

    def define(self) -> HopGraph:
        """The graph of one hop."""
        net = Net()
        x = net.input("features", (self.bands,), "hidden")
        x = net.reshape("bands", x, self.bands // OUTER, OUTER)
        skip = net.conv("encoder1", x, self.outer_channels, KERNEL, relu=True, normalize=True)
        x = net.reshape("halved", skip, self.bands // INNER, 2 * self.outer_channels)
        x = net.conv("encoder2", x, self.channels, KERNEL, relu=True, normalize=True)
        for k in range(self.blocks):
            dilation = self.dilations[k % len(self.dilations)]
            x = over_time(net, f"block{k + 1}", x, self.taps, dilation)
        x = net.conv("decoder2", x, 2 * self.outer_channels, KERNEL, relu=True, normalize=True)
        x = net.reshape("doubled", x, self.bands // OUTER, self.outer_channels)
        x = net.add("skipped", x, skip)
        x = net.conv("decoder1", x, self.outer_channels, KERNEL, relu=True, normalize=True)
        x = net.product("mask_bands", x, OUTER, "mask_input", "mask")
        x = net.reshape("mask_input", x, self.bands)
        return net.build(net.sigmoid("mask", x, "mask"))

    def initial(self, graph: HopGraph, seed: int) -> dict[str, NDArray[np.float32]]:
        """Glorot-uniform kernels."""
        return glorot_uniform(graph, seed)


def over_time(net: Net, name: str, x: Node, taps: int, dilation: int) -> Node:
    """A residual block: a convolution over bands and over hops, causal and dilated."""
    past = net.delay(x, *(k * dilation for k in range(taps - 1, 0, -1)))
    read = net.concat(f"{name}_read", past, x)
    y = net.conv(f"{name}_conv", read, x.channels, KERNEL, normalize=True)
    return net.add(name, x, y, relu=True)

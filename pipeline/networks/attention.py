"""A streaming band-mask network with attention over bands: how far apart bands go together.

Groups of neighbouring bands are the tokens; they attend to those of the same hop alone, so nothing
is cached, and what lies between hops is the work of causal convolutions, as in `convnet`. A block
is convolutions over time, attention, and a feed-forward pair, each added to its input. Batch
normalization takes the place of layer normalization, for it folds into the products.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.networks.convnet import KERNEL, OUTER, over_time
from pipeline.networks.graph import ROW_LIMIT, HopGraph, Net, Node
from pipeline.networks.heads import attend, by_head, by_token
from pipeline.networks.settings import NetworkSettings, Positive, glorot_uniform


class AttentionNet(NetworkSettings):
    """Attention over bands, convolutions over time."""

    network: Literal["attention"]
    """Which network."""
    attention: Literal["none", "full", "paired"] = "paired"
    """Between tokens: every pair (full), or every token and a few sums of tokens beside channels
    and channels (paired; Shaker et al., 2022), which is cheaper from 32 tokens on."""
    tokens: Positive = 32
    """Groups of neighbouring bands."""
    outer_channels: Positive = 32
    """Channels of encoder and decoder, at a quarter of the bands."""
    channels: Positive = 48
    """Channels of a token."""
    blocks: Positive = 2
    """Blocks, each with one attention."""
    convolutions: Positive = 2
    """Convolutions over time of a block."""
    taps: Annotated[int, Field(ge=2)] = 3
    """Hops that a convolution reads."""
    dilations: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Hops between them, convolution by convolution, over and over."""
    width: Positive = 32
    """Channels of queries, keys and values, all heads together."""
    heads: Positive = 2
    """Attentions side by side, between tokens."""
    channel_heads: Positive = 4
    """The same between channels (paired)."""
    sums: Positive = 8
    """Sums of tokens that a token attends to (paired)."""
    feed_forward: Annotated[int, Field(ge=0)] = 2
    """Channels inside the feed-forward pair over those outside; 0: none."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> "AttentionNet":
        of_attention = ("width", "heads", "channel_heads", "sums")
        used = {"none": (), "full": of_attention[:2], "paired": of_attention}[self.attention]
        for name in of_attention[len(used) :]:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f'{name} has no effect with attention = "{self.attention}"')
        parts = {"heads": "width", "channel_heads": "width", "sums": "tokens"}
        for part, whole in (("tokens", "bands"), *((p, parts[p]) for p in used if p in parts)):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(f"{part} = {getattr(self, part)} does not divide {whole}")
        if self.bands % OUTER or (self.outer_channels * self.bands) % (OUTER * self.tokens):
            raise ValueError(f"outer_channels do not fit into {self.tokens} tokens")
        if used and max(self.tokens, self.width) > ROW_LIMIT:
            raise ValueError(f"tokens and width reach {ROW_LIMIT} at most")
        return self

    def define(self) -> HopGraph:
        """The graph of one hop."""
        net, outer = Net(), self.bands // OUTER
        x = net.input("features", (self.bands,), "hidden")
        x = net.reshape("bands", x, outer, OUTER)
        skip = net.conv("encoder1", x, self.outer_channels, KERNEL, relu=True, normalize=True)
        side_by_side = outer * self.outer_channels // self.tokens
        x = net.reshape("tokens", skip, self.tokens, side_by_side)
        x = net.conv("encoder2", x, self.channels, KERNEL, relu=True, normalize=True)
        for k in range(self.blocks):
            x = self._block(net, f"block{k + 1}", x, k * self.convolutions)
        x = net.conv("decoder2", x, side_by_side, KERNEL, relu=True, normalize=True)
        x = net.reshape("untokened", x, outer, self.outer_channels)
        x = net.add("skipped", x, skip)
        x = net.conv("decoder1", x, self.outer_channels, KERNEL, relu=True, normalize=True)
        x = net.product("mask_bands", x, OUTER, "mask_input", "mask")
        x = net.reshape("mask_input", x, self.bands)
        return net.build(net.sigmoid("mask", x, "mask"))

    def _block(self, net: Net, name: str, x: Node, before: int) -> Node:
        for k in range(self.convolutions):
            dilation = self.dilations[(before + k) % len(self.dilations)]
            x = over_time(net, f"{name}_time{k + 1}", x, self.taps, dilation)
        if self.attention != "none":
            attend = self._full if self.attention == "full" else self._paired
            x = net.add(f"{name}_attended", x, attend(net, name, x), relu=True)
        if self.feed_forward:
            up, down = f"{name}_up", f"{name}_down"
            y = net.product(up, x, self.feed_forward * x.channels, up, relu=True, normalize=True)
            y = net.product(down, y, x.channels, down, normalize=True)
            x = net.add(name, x, y, relu=True)
        return x

    def _full(self, net: Net, name: str, x: Node) -> Node:
        """Every token to every token."""
        query, key, value = (
            self._part(net, f"{name}_{part}", x) for part in ("query", "key", "value")
        )
        found = attend(net, name, query, key, value, self.heads)
        return self._back(net, f"{name}_back", found, x.channels)

    def _paired(self, net: Net, name: str, x: Node) -> Node:
        """Queries and keys shared by two branches (efficient paired attention, UNETR++).

        Different here: queries and keys keep their length, and their weights learn what two
        temperatures and a factor of the whole would; a token attends to few sums of tokens in the
        place of 64; branches have heads of their own number; both are projected to all channels
        and added, where the paper joins two halves; convolutions over time are in the place of its
        convolutions after the attention, and there are no positions.
        """
        query, key, value, channel_value = (
            self._part(net, f"{name}_{part}", x)
            for part in ("query", "key", "value", "channel_value")
        )
        turned_key = self._turned(net, key)
        keys = self._sums(net, f"{name}_key_sums", turned_key)
        values = self._sums(net, f"{name}_value_sums", self._turned(net, value))
        scores = net.matmul(f"{name}_scores", by_head(net, query, self.heads), keys, "scores")
        shares = net.softmax(f"{name}_shares", scores)
        found = net.matmul(f"{name}_found", shares, values, transposed=True)
        tokens = self._back(net, f"{name}_back", by_token(net, found), x.channels)

        q, k, v = (
            self._by_channel(net, turned)
            for turned in (self._turned(net, query), turned_key, self._turned(net, channel_value))
        )
        scores = net.matmul(f"{name}_channel_scores", q, k, "scores", transposed=True)
        found = net.matmul(
            f"{name}_channel_found", net.softmax(f"{name}_channel_shares", scores), v
        )
        found = net.reshape(f"{name}_channels", found, self.width, self.tokens)
        upright = self._turned(net, found)
        channels = self._back(net, f"{name}_channel_back", upright, x.channels)
        return net.add(f"{name}_pair", tokens, channels)

    def _sums(self, net: Net, name: str, turned: Node) -> Node:
        """Weighted sums of tokens, ``[heads, width / heads, sums]``."""
        y = net.product(name, turned, self.sums, name)
        if self.heads == 1:
            return y
        return net.reshape(f"{name}_by_head", y, self.heads, self.width // self.heads, self.sums)

    def _by_channel(self, net: Net, turned: Node) -> Node:
        """``[width, tokens]`` -> ``[channel_heads, width / channel_heads, tokens]``"""
        name, heads = f"{turned.name}_by_channel", self.channel_heads
        return net.reshape(name, turned, heads, self.width // heads, self.tokens)

    def _turned(self, net: Net, x: Node) -> Node:
        return net.transpose(f"{x.name}_turned", x, 1, 0)

    def _part(self, net: Net, name: str, x: Node) -> Node:
        return net.product(name, x, self.width, name)

    def _back(self, net: Net, name: str, x: Node, channels: int) -> Node:
        return net.product(name, x, channels, name, normalize=True)

    def initial(self, graph: HopGraph, seed: int) -> dict[str, NDArray[np.float32]]:
        """Glorot-uniform kernels; scores of unit variance, sums that are means of neighbours."""
        arrays = glorot_uniform(graph, seed)
        for name, kernel in arrays.items():
            if name.endswith("_query/kernel"):
                arrays[name] = kernel / np.float32(np.sqrt(self.width / self.heads))
            elif name.endswith("_sums/kernel"):
                each = self.tokens // self.sums
                means = np.repeat(np.eye(self.sums), each, axis=0) / each
                arrays[name] = means.astype(np.float32)
        return arrays

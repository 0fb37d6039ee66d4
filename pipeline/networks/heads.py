"""Attention with several heads, as nodes."""

from pipeline.networks.graph import Net, Node


def attend(net: Net, name: str, query: Node, key: Node, value: Node, heads: int) -> Node:
    """softmax(q k') v of every head (Vaswani et al., 2017), the heads side by side.

    Args:
        net: where to.
        name: what the nodes' names begin with.
        query: ``[tokens, heads * channels]``.
        key: ``[others, heads * channels]``.
        value: ``[others, heads * values]``.
        heads: how many.

    Returns:
        ``[tokens, heads * values]``
    """
    q, k, v = (by_head(net, part, heads) for part in (query, key, value))
    scores = net.matmul(f"{name}_scores", q, k, "scores", transposed=True)
    return by_token(net, net.matmul(f"{name}_found", net.softmax(f"{name}_shares", scores), v))


def by_head(net: Net, x: Node, heads: int) -> Node:
    """``[tokens, channels]`` -> ``[heads, tokens, channels / heads]``, for one head as it is."""
    if heads == 1:
        return x
    tokens, channels = x.shape
    split = net.reshape(f"{x.name}_split", x, tokens, heads, channels // heads)
    return net.transpose(f"{x.name}_by_head", split, 1, 0, 2)


def by_token(net: Net, x: Node) -> Node:
    """And back."""
    if len(x.shape) == 2:
        return x
    heads, tokens, channels = x.shape
    split = net.transpose(f"{x.name}_by_token", x, 1, 0, 2)
    return net.reshape(f"{x.name}_joined", split, tokens, heads * channels)

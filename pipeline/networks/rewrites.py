"""Changes of a network's graph that more than one place makes."""

import dataclasses
import itertools
from collections.abc import Sequence

from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph, Node

REDUCED = "reduced"
# Runners and boards know the gate by this name.
GATE = "update_gate"


def through_basis(graph: HopGraph, together: Sequence[Node], rank: int) -> tuple[HopGraph, Node]:
    """Let products or convolutions of one tensor multiply a few values made of it instead.

    The values are made as they were: a convolution by a convolution of the same kernel, which then
    leads to few channels; what follows are products.

    Args:
        graph: of any network.
        together: the nodes, which read one tensor with one kernel.
        rank: how many values.

    Returns:
        The changed graph, and the node that makes the values with a matrix of its own, the basis.
    """
    first, last = (pick(str(node.matrix) for node in together) for pick in (min, max))
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last))
    prefix = "".join(letter for letter, _ in same).rstrip("_")
    name, like = f"{prefix}_reduced", together[0]
    basis = Node(
        name,
        like.op,
        like.inputs,
        (*like.shape[:-1], rank),
        role=REDUCED,
        matrix=f"{prefix}_basis",
        kernel=like.kernel,
    )
    nodes: list[Node] = []
    for node in graph.nodes:
        if node == like:
            nodes.append(basis)
        if node in together:
            node = dataclasses.replace(node, op="product", inputs=(name,), kernel=1)
        nodes.append(node)
    return dataclasses.replace(graph, nodes=tuple(nodes)), basis


def with_gate(graph: HopGraph) -> tuple[HopGraph, Node]:
    """Let what the last of the states becomes, an LSTM's cell, say how soon a hop is computed.

    Returns:
        The changed graph, and the node whose matrix decides.
    """
    _, read = graph.next_state[-1]
    sums = Node(f"{GATE}_input", "product", (read,), (1,), role="gate_input", matrix=GATE)
    gate = Node(GATE, "sigmoid", (sums.name,), (1,), role="gate")
    return dataclasses.replace(graph, nodes=(*graph.nodes, sums, gate), gate=GATE), sums


def recurrent_products(graph: HopGraph) -> dict[str, list[Node]]:
    """Products inside recurrences, by the tensor they read."""
    inside = frozenset[str]().union(*graph.recurrences())
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op == "product" and node.name in inside and node.inputs[0] in inside:
            found.setdefault(node.inputs[0], []).append(node)
    return found


def to_factor(graph: HopGraph, rank: int, matrices: Sequence[str] = ()) -> list[list[Node]]:
    """Nodes whose matrices a pair of a rank shall stand for, those of one basis together.

    Args:
        graph: of any network.
        rank: values between the two products of a pair.
        matrices: names, each to be factored by itself; none: what recurrences multiply, by the
            tensor it reads, and in a network without them every matrix that becomes smaller.

    Raises:
        InputError: there is no such matrix, it is a pair already, or reads too few values for
            one; names it.
    """
    by_matrix = {str(n.matrix): n for n in graph.nodes if n.op in ("product", "conv")}
    unknown = [name for name in matrices if name not in by_matrix]
    if unknown:
        raise InputError(
            f"low rank: {unknown[0]!r} is no matrix of a product or convolution; those are "
            f"{', '.join(by_matrix)}"
        )
    found = [[by_matrix[name]] for name in matrices] or list(recurrent_products(graph).values())
    if not found:
        found = [[node] for node in by_matrix.values() if _saves(graph, node, rank)]
        if not found:
            raise InputError(f"low rank: no matrix becomes smaller by rank {rank}; lower it")
    for together in found:
        names = ", ".join(str(node.matrix) for node in together)
        read = graph.matrix_shape(together[0])[0]
        if any(_is_pair(graph, node) for node in together):
            raise InputError(f"{names} is a low-rank pair already; take another parent")
        if rank >= read:
            raise InputError(
                f"rank {rank} makes {names}, which reads {read} values, no smaller; "
                "choose a lower one"
            )
    return found


def _is_pair(graph: HopGraph, node: Node) -> bool:
    return node.role == REDUCED or graph[node.inputs[0]].role == REDUCED


def _saves(graph: HopGraph, node: Node, rank: int) -> bool:
    read, made = graph.matrix_shape(node)
    return not _is_pair(graph, node) and rank * (read + made) < read * made


@dataclasses.dataclass(frozen=True)
class Factored:
    """A convolution over frames as few kernels that all its channels share, and coefficients.

    Attributes:
        bases: the matrix of one convolution ``[bands x frames, bases]``, or those of depthwise ones
            ``[bands x frames, channels]``.
        coefficients: the matrix of one product ``[inputs x bases, outputs]`` after it, or of one
            ``[inputs, outputs]`` before each.
        between: tensors between the two.
    """

    bases: tuple[str, ...]
    coefficients: tuple[str, ...]
    between: tuple[str, ...]


def over_frames(graph: HopGraph) -> list[Node]:
    """Convolutions that read a tensor of this hop and of earlier ones."""
    found = []
    for node in graph.nodes:
        read = graph[node.inputs[0]] if node.op == "conv" else None
        if read is not None and read.op == "concat":
            delays = [graph[name] for name in read.inputs if graph[name].op == "delay"]
            if delays and {*read.inputs} == {*(d.name for d in delays), *delays[0].inputs}:
                found.append(node)
    return found


def bases_first(graph: HopGraph, conv: Node, count: int) -> HopGraph:
    """Let a convolution over frames be one to few values of every channel, and their product.

    With its frames side by side in the last axis a channel is a place like any other, so that one
    convolution makes all values of all channels. It costs the NPU less than a depthwise one of
    every basis does.
    """
    bands, channels, name = conv.shape[0], _frame_channels(graph, conv), conv.name
    hops = frames(graph, conv)
    apart = Node(f"{name}_hops", "reshape", conv.inputs, (bands, hops, channels))
    turned = Node(
        f"{name}_turned", "transpose", (apart.name,), (bands, channels, hops), order=(0, 2, 1)
    )
    bases = Node(
        f"{name}_bases",
        "conv",
        (turned.name,),
        (bands, channels, count),
        role=f"{name}_bases",
        matrix=f"{conv.matrix}_bases",
        kernel=conv.kernel,
    )
    beside = Node(f"{name}_beside", "reshape", (bases.name,), (bands, channels * count))
    product = dataclasses.replace(conv, op="product", inputs=(beside.name,), kernel=1)
    return _instead(graph, conv, [apart, turned, bases, beside, product])


def coefficients_first(graph: HopGraph, conv: Node, count: int) -> HopGraph:
    """Let a convolution over frames be products, a depthwise convolution of each, and their sum."""
    read, bands, channels = conv.inputs[0], conv.shape[0], _frame_channels(graph, conv)
    hops = frames(graph, conv)
    every, matrix = f"{conv.name}_frames", str(conv.matrix)
    nodes = [Node(every, "reshape", (read,), (bands * hops, channels))]
    parts = []
    for k in range(1, count + 1):
        product = Node(
            f"{conv.name}_coefficients{k}",
            "product",
            (every,),
            (bands * hops, conv.channels),
            role=f"{conv.name}_coefficients",
            matrix=f"{matrix}_coefficients{k}",
        )
        beside = Node(
            f"{conv.name}_beside{k}", "reshape", (product.name,), (bands, hops * conv.channels)
        )
        part = Node(
            f"{conv.name}_basis{k}",
            "depthwise",
            (beside.name,),
            conv.shape,
            role=f"{conv.name}_parts",
            matrix=f"{matrix}_basis{k}",
            kernel=conv.kernel,
        )
        nodes += [product, beside, part]
        parts.append(part.name)
    for k, name in enumerate(parts[1:-1], start=2):
        added, role = f"{conv.name}_sum{k}", f"{conv.name}_parts"
        nodes.append(Node(added, "add", (parts[0], name), conv.shape, role=role))
        parts[0] = added
    last = (parts[0], parts[-1])
    nodes.append(dataclasses.replace(conv, op="add", inputs=last, kernel=1, matrix=None))
    return _instead(graph, conv, nodes)


def factored(graph: HopGraph) -> list[Factored]:
    """All convolutions in the form of `bases_first` or `coefficients_first`."""
    found = []
    before: dict[str, list[tuple[Node, Node]]] = {}
    for node in graph.nodes:
        if node.op == "conv" and len(node.shape) == 3:
            readers = [r for beside in graph.readers(node.name) for r in graph.readers(beside.name)]
            if [reader.op for reader in readers] == ["product"]:
                found.append(Factored(_matrices([node]), _matrices(readers), (node.name,)))
        elif node.op == "depthwise" and graph[node.inputs[0]].channels > node.channels:
            beside = graph[node.inputs[0]]
            made = graph[beside.inputs[0]]
            if (beside.op, made.op) == ("reshape", "product"):
                before.setdefault(made.inputs[0], []).append((node, made))
    for pairs in before.values():
        parts, products = [part for part, _ in pairs], [product for _, product in pairs]
        names = tuple(product.name for product in products)
        found.append(Factored(_matrices(parts), _matrices(products), names))
    return found


def _matrices(nodes: list[Node]) -> tuple[str, ...]:
    return tuple(str(node.matrix) for node in nodes)


def frames(graph: HopGraph, conv: Node) -> int:
    """How many hops a convolution over frames reads."""
    return graph[conv.inputs[0]].channels // _frame_channels(graph, conv)


def _frame_channels(graph: HopGraph, conv: Node) -> int:
    """Channels of one of the frames that a convolution reads."""
    read = graph[conv.inputs[0]]
    return min(graph[name].channels for name in read.inputs)


def _instead(graph: HopGraph, node: Node, nodes: list[Node]) -> HopGraph:
    """The graph with other nodes in the place of one."""
    at = graph.nodes.index(node)
    everything = (*graph.nodes[:at], *nodes, *graph.nodes[at + 1 :])
    return dataclasses.replace(graph, nodes=everything)

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

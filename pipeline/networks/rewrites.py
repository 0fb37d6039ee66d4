"""Changes of a network's graph that more than one place makes."""

import dataclasses
import itertools

from pipeline.networks.graph import HopGraph, Node

REDUCED = "reduced"


def through_basis(graph: HopGraph, read: str, rank: int) -> tuple[HopGraph, Node]:
    """Let everything that multiplies one tensor multiply a few values made of it instead.

    Args:
        graph: of any network.
        read: the tensor.
        rank: how many values.

    Returns:
        The changed graph, and the node that makes the values with a matrix of its own, the basis.
    """
    together = [node for node in graph.readers(read) if node.op == "product"]
    first, last = (pick(str(node.matrix) for node in together) for pick in (min, max))
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last))
    prefix = "".join(letter for letter, _ in same).rstrip("_")
    name, matrix = f"{prefix}_reduced", f"{prefix}_basis"
    shape = (*graph[read].shape[:-1], rank)
    basis = Node(name, "product", (read,), shape, role=REDUCED, matrix=matrix)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node == together[0]:
            nodes.append(basis)
        nodes.append(dataclasses.replace(node, inputs=(name,)) if node in together else node)
    return dataclasses.replace(graph, nodes=tuple(nodes)), basis


def recurrent_products(graph: HopGraph) -> dict[str, list[Node]]:
    """Products inside recurrences, by the tensor they read."""
    inside = frozenset[str]().union(*graph.recurrences())
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op == "product" and node.name in inside and node.inputs[0] in inside:
            found.setdefault(node.inputs[0], []).append(node)
    return found

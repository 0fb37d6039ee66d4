"""Random small graphs covering what Vela compiles for the Ethos-U55, by family.

`generate(family, seed)` is deterministic: the same family and seed give the same model bytes.
"""

from __future__ import annotations

import zlib

import elementwise_graphs
import filter_graphs
import function_graphs
import layout_graphs
import numpy as np
import reduction_graphs
from graph_family import FAMILIES
from tflite_builder import GraphBuilder

__all__ = [
    "FAMILIES",
    "elementwise_graphs",
    "filter_graphs",
    "function_graphs",
    "generate",
    "layout_graphs",
    "reduction_graphs",
]


def generate(name: str, seed: int) -> bytes:
    """The `.tflite` bytes of one graph of family `name`."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    function, dtype = FAMILIES[name]
    graph = GraphBuilder()
    inputs, outputs = function(rng, graph, dtype)
    return graph.build(inputs, outputs)

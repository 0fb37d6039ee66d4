"""Kernels that compute a recurrence of a known kind over all hops at once.

A kernel is one module, called as the region it stands for (`pipeline.networks.graph.Region.kind`),
with a class `Kernel`. It is found by that name and mentioned nowhere else.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from pipeline.networks.graph import HopGraph
from pipeline.quantization.scheme import Grid
from pipeline.training.matrix import Matrix
from pipeline.training.stash import Stash

if TYPE_CHECKING:
    from pipeline.keras import tf


class RecurrenceKernel(Protocol):
    """Computes what a recurrence makes of all hops.

    Attributes:
        reads: tensor it computes from, float32 ``[batch, time, inputs]`` when called.
        output: state it gives for every hop, ``[batch, time, units]``.
        cell: state it gives after the last hop only, ``[batch, units]``.
    """

    reads: str
    output: str
    cell: str

    def __call__(
        self, x: "tf.Tensor", h: "tf.Tensor", c: "tf.Tensor", stash: Stash | None = None
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """From what it reads, and `output` and `cell` before the first hop: both after."""


def kernel(
    kind: str,
    graph: HopGraph,
    ring: frozenset[str],
    matrices: Mapping[str, Matrix],
    grids: Mapping[str, Grid | None],
) -> RecurrenceKernel:
    """The kernel of a kind for the nodes of a ring.

    Raises:
        InputError: the nodes are not what the kind says.
    """
    module = importlib.import_module(f"{__name__}.{kind}")
    made: RecurrenceKernel = module.Kernel(graph, ring, matrices, grids)
    return made

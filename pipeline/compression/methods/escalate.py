"""Ternary coefficients of shared kernels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipeline.compression.method import Method, Plan
from pipeline.compression.methods.penni import Penni
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class Escalate(Method):
    """Quantize each stage of factored convolutions by how often it is used again.

    After ESCALATE (Li et al., MICRO 2021), of which only the abstract was read. Reconstructed:
    bases, which every channel uses, keep 8 bits; coefficients, each used once a place, are ternary
    with one power of two for each matrix. Its order is that of `penni` with `coefficients_first`;
    its dataflow belongs to an accelerator of its own. Put `penni` before it, best in a parent.
    """

    do: Literal["escalate"]

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        if not any(isinstance(method, Penni) for method in before):
            raise InputError("makes coefficients of shared kernels ternary; put penni before it")

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.kernel_bases import share_kernels
        from pipeline.compression.ternary import ternary
        from pipeline.networks.rewrites import factored

        share_kernels(model)
        by_name = {matrix.name: matrix for matrix in model.matrices}
        for layer in factored(model.graph):
            for name in layer.coefficients:
                by_name[name].restrict(ternary)
        return []

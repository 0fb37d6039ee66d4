"""Kernels that all channels of a convolution share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.compression.method import Factoring, Method, Plan, Positive
from pipeline.errors import InputError
from pipeline.networks.graph import DEPTHWISE_TAPS, HopGraph

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class Penni(Factoring):
    """Factor convolutions over frames into few shared kernels and coefficients, and prune those.

    After PENNI (Li et al., ICML 2020, arXiv 2006.14350); what is reconstructed is said in
    `pipeline.compression.kernel_bases`. Convolutions of a single frame stay whole: kernels of three
    taps leave nothing to share.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["penni"]
    bases: Annotated[int, Field(ge=2)]
    """Kernels of a convolution."""
    order: Literal["bases_first", "coefficients_first"] = "bases_first"
    """Which stage the target computes first."""
    deviations: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Coefficients below this many deviations of their layer are removed; 0: none."""
    l1: Annotated[float, Field(ge=0, le=0.1)] = 1e-3
    """Share of a layer's mean coefficient by which each shrinks at a step."""
    turn_steps: Positive = 20
    """Steps for which bases rest, then coefficients, until pruning ends."""

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        from pipeline.compression.kernel_bases import taps
        from pipeline.networks.rewrites import frames, over_frames

        if any(isinstance(method, Penni) for method in before):
            raise InputError("its convolutions are factored already; take another parent")
        found = over_frames(graph)
        if not found:
            raise InputError("penni factors convolutions over frames, and the network has none")
        for conv in found:
            if self.order == "coefficients_first" and frames(graph, conv) > DEPTHWISE_TAPS:
                raise InputError(
                    f"{conv.name!r} reads {frames(graph, conv)} hops, more than the "
                    f"{DEPTHWISE_TAPS} of a depthwise convolution; take bases first"
                )
            if self.bases >= taps(graph, conv):
                raise InputError(
                    f"bases = {self.bases} are not fewer than the {taps(graph, conv)} taps of "
                    f"{conv.name!r}; choose less"
                )

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        from pipeline.compression.kernel_bases import with_bases

        return with_bases(trained, self.bases, self.order, features)

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.kernel_bases import KernelBases

        pace = (self.turn_steps, plan.prune_end, plan.every_steps)
        return [KernelBases(model, self.deviations, self.l1, *pace)]

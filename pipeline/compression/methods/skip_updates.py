"""Hops that a recurrent network does not compute."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.compression.method import Method, Plan
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph
from pipeline.networks.rewrites import with_gate

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel

# A gate that opens at nearly every hop to begin with, and whose weights tell hops apart a little.
FIRST_BIAS, FIRST_SPREAD = 1.0, 0.1


class SkipUpdates(Method):
    """Let a gate decide how soon the next hop is computed; mask and states stay until then.

    Skip RNN (Campos et al., 2018); `pipeline.training.skipping` says what is reconstructed. The
    processor does not start the NPU for a hop that is skipped: mean cycles fall, the worst case
    does not. Training goes hop by hop and is slower.
    """

    do: Literal["skip_updates"]
    cost: Annotated[float, Field(ge=0.0, le=100.0)]
    """Loss, in dB, that computing every hop costs; a share of the hops costs its share."""

    @property
    def kind(self) -> str:
        return "skip"

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        if any(isinstance(method, SkipUpdates) for method in before):
            raise InputError("has a gate already; leave skip_updates out, or take another parent")
        if not graph.next_state or any(node.op == "delay" for node in graph.nodes):
            raise InputError(
                "skip_updates holds the states of a recurrent network, and this one has none or "
                "remembers frames as well"
            )

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        graph, sums = with_gate(trained.graph)
        shape = graph.matrix_shape(sums)
        spread = FIRST_SPREAD / np.sqrt(shape[0])
        kernel = np.random.default_rng(0).normal(scale=spread, size=shape).astype(np.float32)
        arrays = {
            **trained.arrays,
            f"{sums.matrix}/kernel": kernel,
            f"{sums.matrix}/bias": np.full(1, FIRST_BIAS, np.float32),
            f"{sums.matrix}/mask": np.ones(shape, np.float32),
        }
        return dataclasses.replace(trained, graph=graph, arrays=arrays)

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.training.skipping import UpdateCost

        return [UpdateCost(self.cost, plan.steps // 4)]

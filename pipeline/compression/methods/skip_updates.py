"""Hops that a recurrent network does not compute."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.compression.method import Method, Plan
from pipeline.errors import InputError
from pipeline.networks.graph import LONGEST_WAIT, HopGraph
from pipeline.networks.rewrites import GATE, with_gate
from pipeline.quantization.scheme import CELL_LIMIT

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel

# A gate that opens at nearly every hop to begin with, and whose weights tell hops apart a little.
FIRST_BIAS, FIRST_SPREAD = 1.0, 0.1
# How far a gate that is to say the same at every hop may stray within what it means.
STRAY = 0.25


class SkipUpdates(Method):
    """Let a gate decide how soon the next hop is computed; mask and states stay until then.

    Skip RNN (Campos et al., 2018); `pipeline.training.skipping` says what is reconstructed. The
    processor does not start the NPU for a hop that is skipped: mean cycles fall, the worst case
    does not. Training goes hop by hop and is slower. With `every` in place of `cost` one hop in so
    many is computed, whatever is heard, which is the baseline: its gate says the same at all hops
    and is not trained, so that whatever runs the network need not know.
    """

    do: Literal["skip_updates"]
    cost: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    """Loss, in dB, that computing every hop costs; a share of the hops costs its share."""
    every: Annotated[int, Field(ge=2, le=LONGEST_WAIT)] | None = None
    """Hops of which one is computed."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "SkipUpdates":
        if (self.cost is None) == (self.every is None):
            raise ValueError("give cost for a gate that learns, or every for a fixed rate")
        return self

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
        if self.every is None:
            spread, bias = FIRST_SPREAD / np.sqrt(shape[0]), FIRST_BIAS
            kernel = np.random.default_rng(0).normal(scale=spread, size=shape)
        else:
            # Shares of which so many, and no fewer, make a half.
            lowest, highest = (_logit(0.5 / n) for n in (self.every, self.every - 1))
            kernel = np.full(shape, STRAY * (highest - lowest) / (CELL_LIMIT * shape[0]))
            bias = (lowest + highest) / 2
        arrays = {
            **trained.arrays,
            f"{sums.matrix}/kernel": kernel.astype(np.float32),
            f"{sums.matrix}/bias": np.full(1, bias, np.float32),
            f"{sums.matrix}/mask": np.ones(shape, np.float32),
        }
        return dataclasses.replace(trained, graph=graph, arrays=arrays)

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.training.skipping import UpdateCost

        if self.cost is not None:
            return [UpdateCost(self.cost, plan.steps // 4)]
        for matrix in model.matrices:
            matrix.trainable = matrix.name != GATE
        return []


def _logit(share: float) -> float:
    return math.log(share / (1 - share))

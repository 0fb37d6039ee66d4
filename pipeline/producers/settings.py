"""What the optimization toolkit is asked to do, step by step; what it cannot take is refused."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
# Operators that `pipeline.producers.enhancer` makes layers of that the toolkit can quantize.
KNOWN = ("input", "reshape", "conv", "product", "add", "sigmoid")


class ProducerError(InputError):
    """The toolkit or the converter cannot take the model; the text names layer and way out."""


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epochs: Positive = 1
    """Passes over the training data."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of Adam."""


class Train(_Step):
    """Train in floating point as it is."""

    do: Literal["train"] = "train"


class Prune(_Step):
    """Remove weights of small magnitude while training."""

    do: Literal["prune"] = "prune"
    sparsity: Share = 0.5
    """Share removed in the end; with `m_by_n` the pattern decides."""
    schedule: Literal["polynomial", "constant"] = "polynomial"
    """polynomial: rises from 0 over the first half of the steps; constant: from the start."""
    block: tuple[Positive, Positive] = (1, 1)
    """Rows and columns removed together, for layers with a matrix."""
    m_by_n: tuple[Positive, Positive] | None = None
    """Zeros a group and group size along the channels, such as 2 of 4."""

    @model_validator(mode="after")
    def _one_structure(self) -> Self:
        if self.m_by_n is not None:
            if self.block != (1, 1):
                raise ValueError("give block or m_by_n, not both")
            if self.m_by_n[0] >= self.m_by_n[1]:
                raise ValueError(f"m_by_n = {self.m_by_n}: expected fewer zeros than the group has")
        return self


class Cluster(_Step):
    """Let every weight tensor hold few distinct values; zeros stay."""

    do: Literal["cluster"] = "cluster"
    clusters: Annotated[int, Field(ge=2, le=255)] = 16
    """Distinct values a tensor."""


class Quantize(_Step):
    """Quantization-aware training to int8; zeros and clusters stay."""

    do: Literal["quantize"] = "quantize"


Step = Annotated[Train | Prune | Cluster | Quantize, Field(discriminator="do")]


def check_order(steps: Sequence[Step]) -> None:
    """Refuse steps that do not end in integers.

    Raises:
        ProducerError: names the steps.
    """
    order = [step.do for step in steps]
    if not order or order[-1] != "quantize" or order.count("quantize") > 1:
        raise ProducerError(f"steps {order}: expected exactly one quantize, at the end")


def check_known(graph: HopGraph) -> None:
    """Refuse a network that the toolkit cannot train in integers.

    Raises:
        ProducerError: names the first node of its kind.
    """
    windows = [graph.window(node) for node in graph.nodes]
    inside = {delay.name for delay in windows if delay is not None}
    read = {name for node in graph.nodes if graph.window(node) for name in node.inputs}
    for node in graph.nodes:
        if node.name not in inside | read and (node.op not in KNOWN or node.limit is not None):
            raise ProducerError(
                f"the optimization toolkit cannot train node {node.name!r} ({node.op}); it knows "
                "networks of convolutions over bands and time, products, sums and sigmoids, such "
                'as "convnet"'
            )

"""Section `compress`: which models to make, what each starts from and what is done to it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.compression.methods import AnyMethod
from pipeline.compression.methods.prune import Prune
from pipeline.config.section import Positive, Section
from pipeline.producers.settings import Step, check_order

DENSE = "dense"
RESERVED_NAMES = (DENSE, "clean", "noisy", "oracle")
_LEARNED_WITH = ("steps", "learning_rate", "distillation_weight")


class Variant(Section):
    """One compressed model."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """Name of the model and its files."""
    parent: str = DENSE
    """Model to start from: the dense network or an earlier variant, so that structures combine."""
    methods: tuple[AnyMethod, ...] = ()
    """What is done to it, in this order; none: it is trained in integers and nothing else."""
    steps: Positive | None = None
    """Optimizer steps; none: `compress.steps`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak of the cosine schedule; none: `compress.learning_rate`."""
    # Left out of files and keys where unset: those from before there was such a thing stay valid.
    distillation_weight: Annotated[
        float | None, Field(ge=0, exclude_if=lambda weight: weight is None)
    ] = None
    """Weight of imitating the dense network's mask; none: `compress.distillation_weight`."""
    toolkit: Annotated[tuple[Step, ...], Field(exclude_if=lambda steps: not steps)] = ()
    """Instead of methods: what the TensorFlow Model Optimization toolkit does to the dense network,
    in this order. An epoch of our networks is `compress.validate_every` steps."""

    @property
    def trains(self) -> bool:
        """Whether there is a training by this package."""
        return not self.toolkit and all(method.trains for method in self.methods)

    @model_validator(mode="after")
    def _toolkit_stands_alone(self) -> "Variant":
        if self.toolkit:
            check_order(self.toolkit)
            fields = ("parent", "methods", *_LEARNED_WITH)
            for name in fields:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"variant {self.name!r}: toolkit starts from the dense network and has "
                        f"settings of its own; it does not use {name}; leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _settings_are_used(self) -> "Variant":
        untrained = [method.do for method in self.methods if not method.trains]
        given = [name for name in _LEARNED_WITH if getattr(self, name) is not None]
        given += [method.do for method in self.methods if method.trains]
        if untrained and given:
            raise ValueError(
                f"variant {self.name!r}: {untrained[0]} does not train and does not use "
                f"{given[0]}; leave it out"
            )
        return self


class Compress(Section):
    """Pruning and int8 training, learned together."""

    variants: tuple[Variant, ...] = (
        Variant(name="dense-int8"),
        Variant(name="weight80-int8", methods=(Prune(do="prune", sparsity=0.80),)),
        Variant(name="weight95-int8", methods=(Prune(do="prune", sparsity=0.95),)),
    )
    """Models to make from the dense one."""
    scheme: Literal["int8", "int16"] = "int8"
    """Integer scheme of activations and state (weights are always int8)."""
    steps: Positive = 2_000
    """Optimizer steps of each variant."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Peak of the cosine schedule."""
    validate_every: Positive = 200
    """Steps between validations; the best weights after pruning has ended are kept."""
    prune_until: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """Share of the steps after which the final sparsity is reached."""
    prune_every: Positive = 20
    """Steps between mask updates."""
    distillation_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of imitating the dense network's mask."""

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "Compress":
        names = [variant.name for variant in self.variants]
        taken = {*RESERVED_NAMES, *(name for name in names if names.count(name) > 1)}
        for name in names:
            if name in taken:
                raise ValueError(f"variant name {name!r} is already taken; choose another")
        return self

    @model_validator(mode="after")
    def _parents_come_first(self) -> "Compress":
        known = [DENSE]
        for variant in self.variants:
            if variant.parent in (each.name for each in self.variants if each.toolkit):
                raise ValueError(
                    f"variant {variant.name!r}: nothing can start from {variant.parent!r}, which "
                    "the toolkit makes"
                )
            if variant.parent not in known:
                raise ValueError(
                    f"variant {variant.name!r}: parent {variant.parent!r} is none of the models "
                    f"before it ({', '.join(known)})"
                )
            if not variant.trains and not variant.toolkit and variant.parent == DENSE:
                raise ValueError(
                    f"variant {variant.name!r}: without training it needs a trained integer model; "
                    "give one as its parent"
                )
            known.append(variant.name)
        return self

    @model_validator(mode="after")
    def _schedules_fit(self) -> "Compress":
        trained = [variant for variant in self.variants if variant.trains]
        lengths = [variant.steps or self.steps for variant in trained]
        if lengths and self.validate_every > max(lengths):
            raise ValueError(
                f"validate_every = {self.validate_every} is more than the {max(lengths)} steps of "
                "the longest variant; lower it"
            )
        for variant, steps in zip(trained, lengths, strict=True):
            if any(method.scheduled for method in variant.methods):
                end = round(steps * self.prune_until)
                if not self.prune_every <= end < steps:
                    raise ValueError(
                        f"variant {variant.name!r}: prune_until = {self.prune_until:g} of {steps} "
                        f"steps is step {end}; expected {self.prune_every} (prune_every) to "
                        f"{steps - 1}, so that there is a schedule and training after it"
                    )
        return self

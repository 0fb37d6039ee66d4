"""The models that a configuration describes, each with the chain of variants that leads to it."""

import dataclasses
from pathlib import Path

from pipeline.config import DENSE, Config, Variant


@dataclasses.dataclass(frozen=True)
class Model:
    """One model to make.

    Attributes:
        base: variant it is, or repeats with another seed.
        seed: of its compression.
        chain: variants from the dense network to this one.
    """

    base: str
    seed: int
    chain: tuple[Variant, ...]

    @property
    def name(self) -> str:
        """Of the model and its files."""
        return self.variant.name

    @property
    def variant(self) -> Variant:
        """What is done to its parent."""
        return self.chain[-1]

    @property
    def files(self) -> dict[str, Path]:
        """What its methods read, by setting."""
        return {
            f"{method.do}.{setting}": path
            for method in self.variant.methods
            for setting, path in method.files.items()
        }

    @property
    def parent(self) -> "Model | None":
        """The model it starts from; None: the dense network."""
        before = self.chain[:-1]
        return Model(before[-1].name, self.seed, before) if before else None


def models(config: Config) -> tuple[Model, ...]:
    """One for every variant, parents first."""
    variants = {variant.name: variant for variant in config.compress.variants}
    return tuple(Model(name, config.seed, _chain(variants, name)) for name in variants)


def with_repetitions(config: Config) -> tuple[Model, ...]:
    """All models, the study's headline ones again with every other seed."""
    once = models(config)
    repeated = [
        Model(model.base, seed, tuple(_repeated(variant, seed) for variant in model.chain))
        for seed in config.study.seeds
        if seed != config.seed
        for model in once
        if model.name in config.study.headline
    ]
    return (*once, *repeated)


def _chain(variants: dict[str, Variant], name: str) -> tuple[Variant, ...]:
    variant = variants[name]
    before = () if variant.parent == DENSE else _chain(variants, variant.parent)
    return (*before, variant)


def _repeated(variant: Variant, seed: int) -> Variant:
    """The variant under the name it has with another seed."""
    names = {"name": f"{variant.name}-seed{seed}"}
    if variant.parent != DENSE:
        names["parent"] = f"{variant.parent}-seed{seed}"
    return variant.model_copy(update=names)

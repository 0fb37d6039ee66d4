"""What a configuration's study consists of."""

import dataclasses

from pipeline.config import DENSE, Config, Variant


@dataclasses.dataclass(frozen=True)
class Task:
    """One point to make.

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
        """Of the model."""
        return self.chain[-1].name


def plan(config: Config) -> tuple[Task, ...]:
    """Every variant once, the headline ones again with every other seed."""
    variants = {variant.name: variant for variant in config.compress.variants}
    tasks = [Task(name, config.seed, _chain(variants, name)) for name in variants]
    for seed in config.study.seeds:
        if seed != config.seed:
            tasks += [
                Task(name, seed, tuple(_repeated(v, seed) for v in _chain(variants, name)))
                for name in config.study.headline
            ]
    return tuple(tasks)


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

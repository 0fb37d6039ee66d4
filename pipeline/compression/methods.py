"""From a variant's settings to what acts on the network while it trains."""

from pipeline.compression.clustering import Clustering
from pipeline.compression.pruner import GradualPruner, given_masks, prune
from pipeline.compression.regularizers import Regularizer
from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.structures import (
    BlockStructure,
    Structure,
    UnitStructure,
    WeightStructure,
)
from pipeline.compression.thresholds import LearnedThresholds
from pipeline.config import Compress, Model, Variant
from pipeline.models.masknet import MaskNet
from pipeline.models.units import unit_layers
from pipeline.training.loop import Callback


def structure_of(model: MaskNet, variant: Variant, sizes: Model) -> Structure:
    """What the variant removes together in a network of this size."""
    shapes = {matrix.name: matrix.shape for matrix in model.matrices}
    if variant.structure == "block":
        return BlockStructure(shapes, *variant.block_size)
    if variant.structure == "unit":
        return UnitStructure(shapes, unit_layers(sizes))
    return WeightStructure(shapes)


def callbacks_for(
    model: MaskNet, variant: Variant, settings: Compress, sizes: Model, steps: int
) -> list[Callback]:
    """What to do between the steps of a variant's training, in this order."""
    structure = structure_of(model, variant, sizes)
    end = _prune_end(settings, steps)
    callbacks: list[Callback] = []
    if variant.regularizer != "none":
        callbacks.append(Regularizer(model, structure, variant.regularizer, variant.strength, end))
    if variant.sparsity > 0:
        schedule = RisingSparsity(variant.sparsity, end, settings.prune_every)
        callbacks.append(
            LearnedThresholds(model, structure, schedule, variant.sparsity)
            if variant.method == "threshold"
            else GradualPruner(model, structure, schedule)
        )
    if variant.clusters is not None:
        callbacks.append(
            Clustering(
                model, variant.clusters, end, _cluster_end(settings, steps), settings.prune_every
            )
        )
    return callbacks


def last_change(variant: Variant, settings: Compress, steps: int) -> int:
    """First step after which nothing but training changes the weights: models before differ."""
    if variant.clusters is not None:
        return _cluster_end(settings, steps) + 1
    if variant.sparsity > 0 or variant.regularizer != "none":
        return _prune_end(settings, steps) + 1
    return 0


def offline(model: MaskNet, variant: Variant, sizes: Model) -> None:
    """Prune the integers of a trained model by magnitude, with no training after it."""
    for matrix in model.matrices:
        matrix.kernel.assign(matrix.value())
    prune(model, structure_of(model, variant, sizes), variant.sparsity, given_masks(model))


def _prune_end(settings: Compress, steps: int) -> int:
    return round(steps * settings.prune_until)


def _cluster_end(settings: Compress, steps: int) -> int:
    """Half way between the end of pruning and the end."""
    return (_prune_end(settings, steps) + steps) // 2

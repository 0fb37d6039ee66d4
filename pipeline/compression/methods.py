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
from pipeline.config import Compress, Variant
from pipeline.networks.groups import groups
from pipeline.training.loop import Callback
from pipeline.training.model import SequenceModel


def structure_of(model: SequenceModel, variant: Variant) -> Structure:
    """What the variant removes together in a network."""
    shapes = {matrix.name: matrix.shape for matrix in model.matrices}
    if variant.structure == "block":
        return BlockStructure(shapes, *variant.block_size)
    if variant.structure == "unit":
        return UnitStructure(shapes, groups(model.graph))
    return WeightStructure(shapes)


def callbacks_for(
    model: SequenceModel, variant: Variant, settings: Compress, steps: int
) -> list[Callback]:
    """What to do between the steps of a variant's training, in this order."""
    structure = structure_of(model, variant)
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


def offline(model: SequenceModel, variant: Variant) -> None:
    """Prune the integers of a trained model by magnitude, with no training after it."""
    for matrix in model.matrices:
        matrix.kernel.assign(matrix.value())
    prune(model, structure_of(model, variant), variant.sparsity, given_masks(model))


def _prune_end(settings: Compress, steps: int) -> int:
    return round(steps * settings.prune_until)


def _cluster_end(settings: Compress, steps: int) -> int:
    """Half way between the end of pruning and the end."""
    return (_prune_end(settings, steps) + steps) // 2

"""Networks small enough for tests, with random weights."""

import dataclasses

import numpy as np

from pipeline.dsp import FrontEnd
from pipeline.networks.rewrites import through_basis
from pipeline.networks.settings import NetworkSettings
from pipeline.networks.trained import Trained, untrained
from pipeline.quantization import INT8, Scheme


def front_end(bands: int) -> FrontEnd:
    """One that changes nothing but the features' range."""
    return FrontEnd(np.zeros(bands, np.float32), np.ones(bands, np.float32))


def network(
    settings: NetworkSettings, scheme: Scheme = INT8, seed: int = 0, relu_maximum: float = 4.0
) -> Trained:
    """A network with initial weights; ranges that would be measured reach `relu_maximum`."""
    made = untrained(settings, front_end(settings.bands), seed)
    if scheme.grids:
        scheme = scheme.measured("relu", relu_maximum, signed=False)
    return dataclasses.replace(made, scheme=scheme)


def with_ranks(trained: Trained, ranks: tuple[int, ...], seed: int = 0) -> Trained:
    """Random low-rank pairs in the recurrent layers, 0 for none."""
    random = np.random.default_rng(seed)
    graph, arrays = trained.graph, dict(trained.arrays)
    for k, rank in enumerate(ranks, start=1):
        if rank:
            graph, _ = through_basis(graph, graph.readers(f"lstm{k}_xh"), rank)
    for matrix, shape in graph.matrices().items():
        kernel = arrays.get(f"{matrix}/kernel")
        if kernel is None or kernel.shape != shape:
            limit = np.sqrt(6 / sum(shape))
            arrays[f"{matrix}/kernel"] = random.uniform(-limit, limit, shape).astype(np.float32)
            arrays[f"{matrix}/mask"] = np.ones(shape, np.float32)
            arrays.setdefault(f"{matrix}/bias", np.zeros(shape[1], np.float32))
    return dataclasses.replace(trained, graph=graph, arrays=arrays)


def trained_looking(trained: Trained, seed: int, sparsity: float = 0.0) -> Trained:
    """Weights larger than at initialization, biases, a random mask."""
    random = np.random.default_rng(seed)
    arrays = dict(trained.arrays)
    for matrix, shape in trained.graph.matrices().items():
        kernel = trained.arrays[f"{matrix}/kernel"] * np.float32(random.uniform(0.5, 3.0))
        bias = random.normal(scale=0.5, size=shape[1]).astype(np.float32)
        mask = (random.random(shape) >= sparsity).astype(np.float32)
        arrays |= {f"{matrix}/kernel": kernel, f"{matrix}/bias": bias, f"{matrix}/mask": mask}
    return dataclasses.replace(trained, arrays=arrays)

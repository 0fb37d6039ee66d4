"""Ranges that are measured."""

import dataclasses

import numpy as np

from pipeline.quantization.calibration import in_scheme
from pipeline.quantization.scheme import INT8, Grid
from tests.networks.kinds import BANDS, KINDS, network


def error(grid: Grid, values: np.ndarray) -> float:
    return float(np.mean(np.square(grid.dequantize(grid.quantize(values)) - values)))


def test_a_measured_grid_has_the_least_error_of_all_powers_of_two() -> None:
    """One hop is far louder than the others, which a grid that holds it would hold coarsely."""
    trained = network(KINDS["convolutional"](), seed=3).folded()
    features = np.random.default_rng(4).uniform(-1, 1, (3, 200, BANDS)).astype(np.float32)
    features[0, 7] *= 40
    found = in_scheme(trained, INT8, features)
    measured = found.scheme.grids.keys() - INT8.grids.keys()
    by_role = {node.role: node.name for node in found.graph.nodes if node.role in measured}
    observed = trained.build().observe(features, list(by_role.values()))
    cut = []
    for role, name in by_role.items():
        values, grid = observed[name].numpy(), found.scheme.grids[role]
        for factor in (0.5, 2.0, 4.0):
            other = dataclasses.replace(grid, scale=grid.scale * factor)
            assert error(grid, values) <= error(other, values), (role, factor)
        cut.append(grid.maximum < np.abs(values).max())
    assert any(cut)

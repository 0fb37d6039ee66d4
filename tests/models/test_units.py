"""Units that are really gone, from a network that computes the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compression.structures import UnitStructure
from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.lowering.step_graph import build_step_graph
from pipeline.models import MaskNet
from pipeline.models.units import remove_masked_units, select_units, unit_layers
from pipeline.models.weights import Weights
from pipeline.quantization import INT8
from pipeline.targets import stream
from pipeline.targets.tflite import TfliteRunner

SIZES = Model(bands=16, lstm_units=(16, 8), dense_units=8)
LOW_RANK = SIZES.model_copy(update={"lstm_ranks": (12, 8)})
ALL_SIZES = [SIZES, LOW_RANK, SIZES.model_copy(update={"lstm_ranks": (0, 8)})]
FRAMES = 40


def network(seed: int, sizes: Model = SIZES) -> Weights:
    model = MaskNet(sizes, scheme=INT8, seed=seed)
    random = np.random.default_rng(seed)
    arrays = model.get_arrays()
    for name, array in arrays.items():
        if name.endswith("/bias"):
            arrays[name] = random.normal(scale=0.3, size=array.shape).astype(np.float32)
    front_end = FrontEnd(np.zeros(16, np.float32), np.ones(16, np.float32))
    return Weights(sizes, front_end, arrays, INT8, 4.0)


def masks_of(weights: Weights, seed: int) -> np.ndarray:
    features = np.random.default_rng(seed).uniform(-1, 1, (FRAMES, 16)).astype(np.float32)
    return stream(TfliteRunner(build_step_graph(weights, "net")), features)


def random_units(random: np.random.Generator, share: float, sizes: Model) -> dict[str, np.ndarray]:
    keep = {layer.name: random.uniform(size=layer.units) > share for layer in unit_layers(sizes)}
    for chosen in keep.values():
        chosen[random.integers(chosen.size)] = True
    return keep


@settings(max_examples=8)
@given(seed=st.integers(0, 2**16), share=st.floats(0.1, 0.9), sizes=st.sampled_from(ALL_SIZES))
def test_the_smaller_network_computes_the_same_bytes(seed: int, share: float, sizes: Model) -> None:
    weights = network(seed, sizes)
    keep = random_units(np.random.default_rng(seed), share, sizes)
    shapes = {m.name: m.shape for m in weights.build().matrices}
    for name, mask in UnitStructure(shapes, unit_layers(sizes)).masks(keep).items():
        weights.arrays[f"{name}/mask"] = mask
    smaller = remove_masked_units(weights)
    counts = {layer.name: layer.units for layer in unit_layers(smaller.model)}
    assert counts == {name: int(chosen.sum()) for name, chosen in keep.items()}
    assert all((smaller.arrays[f"{n}/mask"] == 1).all() for n in shapes)
    np.testing.assert_array_equal(masks_of(smaller, seed), masks_of(weights, seed))


@settings(max_examples=4)
@given(seed=st.integers(0, 2**16), sizes=st.sampled_from(ALL_SIZES))
def test_the_order_of_units_is_free(seed: int, sizes: Model) -> None:
    weights = network(seed, sizes)
    random = np.random.default_rng(seed)
    order = {layer.name: random.permutation(layer.units) for layer in unit_layers(sizes)}
    permuted = select_units(weights, order)
    assert permuted.model == weights.model
    np.testing.assert_array_equal(masks_of(permuted, seed), masks_of(weights, seed))


def test_a_layer_without_units_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="layer 'lstm2' would lose every unit"):
        select_units(network(0), {"lstm2": np.array([], int)})

"""Ternary coefficients, bases in 8 bits: three values deployed, the same bytes everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.compression.kernel_bases import Order
from pipeline.compression.methods.escalate import Escalate
from pipeline.compression.methods.penni import Penni
from pipeline.compression.ternary import ternary
from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.lowering.tflite import integer_matrix
from pipeline.networks.convnet import ConvNet
from pipeline.networks.rewrites import factored
from pipeline.networks.trained import untrained
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import assert_all_agree, features, in_integers
from tests.small_networks import front_end, trained_looking

CONVNET = ConvNet(network="convnet", bands=32, outer_channels=8, channels=16, blocks=1)
METHOD = Escalate(do="escalate")


@pytest.mark.parametrize("order", ["bases_first", "coefficients_first"])
def test_what_is_deployed_is_ternary_and_what_was_trained(order: Order, tmp_path: Path) -> None:
    start = in_integers(trained_looking(untrained(CONVNET, front_end(32), 1), 1), 1)
    penni = Penni(do="penni", bases=2, order=order, deviations=0)
    trained, mask = trained_with([penni, METHOD], start, 1)
    np.testing.assert_array_equal(trained.build()(features(1)).numpy(), mask)
    (layer,) = factored(trained.graph)
    for name in layer.coefficients:
        magnitudes = np.unique(np.abs(integer_matrix(trained, name).weights))
        assert magnitudes.size == 2 and magnitudes[0] == 0
    for name in layer.bases:
        assert np.unique(integer_matrix(trained, name).weights).size > 3
    assert_all_agree(trained, tmp_path, 1)


def test_the_magnitude_is_the_nearest_power_of_two_of_what_is_kept() -> None:
    # Mean 1, so 0.6 goes; the mean of the rest is 2.2, nearer to 2 than to 4 in their ratio.
    weights = tf.constant([[0.0, 0.6, -0.2, 1.2, -3.2, 0.4, 0.4]])
    np.testing.assert_array_equal(ternary(weights), [[0, 0, 0, 2, -2, 0, 0]])
    np.testing.assert_array_equal(ternary(tf.zeros([3, 2])), np.zeros((3, 2)))
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = tf.reduce_sum(ternary(weights))
    np.testing.assert_array_equal(tape.gradient(loss, weights), [[1, 1, 1, 1, 0, 1, 1]])


def test_it_needs_coefficients() -> None:
    METHOD.check(CONVNET.define(), [Penni(do="penni", bases=2)])
    with pytest.raises(InputError, match="put penni before it"):
        METHOD.check(CONVNET.define(), [])

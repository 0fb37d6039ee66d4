"""Whole convolutional networks built with Keras, against both sets of reference kernels."""

from __future__ import annotations

import numpy as np
import pytest
from ethosu_reference import (
    ACCELERATOR_MACS,
    compare,
    vela_compile,
)
from keras_networks import NETWORKS, quantized

from pipeline.ethosu import Emulator, load_vela_model
from pipeline.ethosu.golden import MicroGolden, TfliteGolden
from pipeline.ethosu.stimuli import random_inputs


@pytest.mark.parametrize("network", NETWORKS)
def test_network_is_exact_on_every_configuration(network: str) -> None:
    model = quantized(network)
    micro, tflite = MicroGolden(model), TfliteGolden(model)
    rng = np.random.default_rng(0)
    for macs in ACCELERATOR_MACS:
        emulator = Emulator(load_vela_model(vela_compile(model, macs)))
        inputs = random_inputs(emulator.model.inputs, rng)
        assert compare(emulator, micro, inputs).mismatches == 0
        # TFLite rounds fully connected layers once where Micro and the NPU round twice.
        assert compare(emulator, tflite, inputs).largest_difference <= 1
        assert emulator.check() == []

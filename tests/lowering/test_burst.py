"""Many hops at once give the bytes that they give one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.ethosu import vela
from pipeline.lowering.burst import to_burst
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.convnet import ConvNet
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import untrained
from pipeline.runners import stream
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner
from tests.networks.agreement_of_views import features, in_integers
from tests.small_networks import front_end, network, trained_looking

CONVNET = ConvNet(
    network="convnet", bands=32, outer_channels=8, channels=16, blocks=2, dilations=(1, 3)
)


@pytest.mark.parametrize("hops", [1, 4])
def test_bursts_equal_hops(hops: int, tmp_path: Path) -> None:
    trained = in_integers(trained_looking(untrained(CONVNET, front_end(32), 1), 1), 1)
    heard = features(1, 24)[0]
    expected = stream(TfliteRunner(to_tflite(trained, "net")), heard)
    path = tmp_path / "burst.tflite"
    path.write_bytes(to_burst(trained, "burst", hops))
    compiled = vela.compile(path, tmp_path)
    assert compiled.cpu_operators == ()
    for runner in (TfliteRunner(path), TflmRunner(path), EmulatorRunner(compiled.path)):
        masks = stream(runner, heard.reshape(-1, hops * 32))
        np.testing.assert_array_equal(masks.reshape(-1, 32), expected)


def test_a_recurrence_has_no_bursts() -> None:
    lstms = network(TinyLSTMs(bands=32, lstm_units=(16, 16), dense_units=16))
    with pytest.raises(InputError, match=r"'h1' \(state\) cannot run many hops at once"):
        to_burst(lstms, "burst", 4)

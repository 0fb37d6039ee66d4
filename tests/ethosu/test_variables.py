"""Variable tensors: they start at their zero point, keep their contents, and can be reset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ethosu_reference import ACCELERATOR_MACS, vela_compile
from fused_lstm_graph import fused_lstm

from pipeline.ethosu import Emulator, ModelError, load_vela_model
from pipeline.ethosu.golden import MicroGolden
from pipeline.ethosu.stimuli import random_inputs

INFERENCES = 40


@pytest.mark.parametrize("macs", ACCELERATOR_MACS)
@pytest.mark.parametrize("steps", [1, 5])
def test_fused_lstm_equals_tflite_micro_over_many_inferences(macs: int, steps: int) -> None:
    model = fused_lstm(macs + steps, steps, features=24, units=20)
    emulator = Emulator(load_vela_model(vela_compile(model, macs)))
    hidden = next(s for s in emulator.model.variables if s.dtype == np.int8)
    assert hidden.zero_point
    assert emulator.check() == []
    golden = MicroGolden(model)
    rng = np.random.default_rng(0)
    for _ in range(INFERENCES):
        inputs = random_inputs(emulator.model.inputs, rng)
        (actual,), (expected,) = emulator.invoke(inputs).values(), golden.invoke(inputs).values()
        assert np.array_equal(actual, expected)


def test_reset_starts_a_new_sequence() -> None:
    model = fused_lstm(0, 3, features=16, units=16)
    emulator, golden = Emulator(load_vela_model(vela_compile(model))), MicroGolden(model)
    inputs = random_inputs(emulator.model.inputs, np.random.default_rng(0))
    (first,), (second,) = emulator.invoke(inputs).values(), emulator.invoke(inputs).values()
    assert not np.array_equal(first, second)
    emulator.reset()
    (again,) = emulator.invoke(inputs).values()
    assert np.array_equal(again, first)
    golden.invoke(inputs)
    golden.reset()
    (expected,) = golden.invoke(inputs).values()
    assert np.array_equal(expected, first)


def test_raw_output_with_variables_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lstm.tflite"
    path.write_bytes(fused_lstm(0, 2, features=16, units=16))
    vela = [sys.executable, "-m", "ethosu.vela", str(path), f"--output-dir={tmp_path}"]
    options = ["--accelerator-config=ethos-u55-128", "--output-format=raw"]
    subprocess.run([*vela, *options], check=True, capture_output=True)
    with pytest.raises(ModelError, match=r"lstm_vela\.npz: has variable tensors.*\.tflite"):
        load_vela_model(tmp_path / "lstm_vela.npz")

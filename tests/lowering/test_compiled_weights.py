"""The weights in the compiled stream, decoded, are the trained ones."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.ethosu import Emulator, convolution, load_vela_model, vela
from pipeline.lowering.tflite import integer_matrix, to_tflite
from pipeline.lowering.windows import whole
from pipeline.networks.tinylstms import TinyLSTMs
from tests.small_networks import network

SIZES = TinyLSTMs(bands=32, lstm_units=(24, 16), dense_units=16)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_every_matrix_is_found_in_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparsity: float
) -> None:
    trained = network(SIZES, seed=4)
    model = trained.build()
    random = np.random.default_rng(4)
    for matrix in model.matrices:
        kept = random.uniform(size=matrix.shape) >= sparsity
        matrix.mask.assign(kept.astype(np.float32))
    weights = dataclasses.replace(trained, arrays=model.get_arrays())
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(weights, "net", whole))
    compiled = vela.compile(
        path, tmp_path, "ethos-u55-128", "Ethos_U55_High_End_Embedded", "Sram_Only"
    )

    decoded: list[np.ndarray] = []
    decode = convolution.decode_weights

    def recorded(*arguments: Any) -> np.ndarray:
        decoded.append(decode(*arguments))
        return decoded[-1]

    monkeypatch.setattr(convolution, "decode_weights", recorded)
    emulator = Emulator(load_vela_model(compiled.path))
    emulator.invoke({s.name: np.zeros(s.shape, s.dtype) for s in emulator.model.inputs})
    assert len(decoded) == len(model.matrices)
    for matrix in model.matrices:
        trained = integer_matrix(weights, matrix.name).weights
        assert any(
            stream.shape[::3] == trained.shape and np.array_equal(stream[:, 0, 0], trained)
            for stream in decoded
        ), matrix.name

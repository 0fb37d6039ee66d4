"""The weights in the compiled stream, decoded, are the trained ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.ethosu import Emulator, convolution, load_vela_model, vela
from pipeline.lowering.step_graph import build_step_graph, integer_matrix
from pipeline.lowering.windows import whole
from pipeline.models import MaskNet
from pipeline.models.weights import Weights
from pipeline.quantization import INT8

SIZES = Model(bands=32, lstm_units=(24, 16), dense_units=16)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_every_matrix_is_found_in_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparsity: float
) -> None:
    model = MaskNet(SIZES, INT8, seed=4)
    random = np.random.default_rng(4)
    for matrix in model.matrices:
        kept = random.uniform(size=matrix.shape) >= sparsity
        matrix.mask.assign(kept.astype(np.float32))
    front_end = FrontEnd(np.zeros(32, np.float32), np.ones(32, np.float32))
    weights = Weights(SIZES, front_end, model.get_arrays(), INT8, 4.0)
    path = tmp_path / "net.tflite"
    path.write_bytes(build_step_graph(weights, "net", whole))
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

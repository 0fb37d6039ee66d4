"""The report shows what lowering did to every operator."""

import numpy as np

from pipeline.config import Compile, Model
from pipeline.dsp import FrontEnd
from pipeline.lowering_report import lowering_table
from pipeline.models import MaskNet
from pipeline.models.weights import Weights
from pipeline.quantization import INT8

SIZES = Model(bands=64, lstm_units=(128, 128), dense_units=128)


def grouped(groups: int) -> Weights:
    model = MaskNet(SIZES, INT8, seed=1)
    arrays = model.get_arrays()
    for matrix in model.matrices:
        rows, columns = matrix.shape
        tile = np.ones((rows // groups, columns // groups), np.float32)
        arrays[f"{matrix.name}/mask"] = np.kron(np.eye(groups, dtype=np.float32), tile)
    front_end = FrontEnd(np.zeros(64, np.float32), np.ones(64, np.float32))
    return Weights(SIZES, front_end, arrays, INT8, 4.0)


def cells(table: str, operator: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {operator} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_every_operator_is_listed_before_and_after() -> None:
    table = lowering_table(grouped(4), "grouped", Compile())
    before, after = (int(cell.replace(",", "")) for cell in cells(table, "**all**"))
    assert after < 0.6 * before
    masked, lowered = cells(table, "lstm2_candidate")
    assert masked.startswith("2, ")
    assert lowered.startswith("5, ")
    assert cells(table, "lstm1_kept") == cells(table, "lstm2_kept")

"""The report shows what lowering did to every operator."""

import numpy as np

from pipeline.config import Compile
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.tools.lowering_report import lowering_table
from tests.small_networks import network

SIZES = TinyLSTMs(bands=64, lstm_units=(128, 128), dense_units=128)


def grouped(groups: int) -> Trained:
    trained = network(SIZES, seed=1)
    for matrix, (rows, columns) in trained.graph.matrices().items():
        tile = np.ones((rows // groups, columns // groups), np.float32)
        trained.arrays[f"{matrix}/mask"] = np.kron(np.eye(groups, dtype=np.float32), tile)
    return trained


def cells(table: str, operator: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {operator} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_every_operator_is_listed_before_and_after() -> None:
    table = lowering_table(grouped(4), "grouped", Compile()).markdown()
    before, after = (int(cell.replace(",", "")) for cell in cells(table, "**all**"))
    assert after < 0.6 * before
    masked, lowered = cells(table, "lstm2_candidate")
    assert masked.startswith("2, ")
    assert lowered.startswith("5, ")
    assert cells(table, "lstm1_kept") == cells(table, "lstm2_kept")

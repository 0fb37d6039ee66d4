"""Vela's rows meet the emulator's operations, and a table from elsewhere is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ethosu_graphs import generate
from recurrent_graph import RecurrentGraph

from pipeline.ethosu import Emulator, ModelError, load_vela_model, memory_system, vela
from pipeline.ethosu.comparison import compare_with_vela, main

MODE = "Sram_Only"  # With weights in flash, its bandwidth would hide the rest of the model.


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> vela.CompiledModel:
    folder = tmp_path_factory.mktemp("comparison")
    path = folder / "recurrent.tflite"
    path.write_bytes(RecurrentGraph(units=128, layers=1).build())
    return vela.compile(path, folder, memory_mode=MODE)


def test_layers_pair_up_and_costs_agree(compiled: vela.CompiledModel) -> None:
    cost = Emulator(load_vela_model(compiled.path)).cost(memory_system(memory_mode=MODE))
    rows = compare_with_vela(cost, compiled.layers)
    assert len(rows) == sum(layer.cycles > 0 for layer in compiled.layers)
    for row in rows:
        if row.estimate.npu_operator == "FullyConnected":
            assert sum(item.macs for item in row.operations) == row.estimate.macs > 0
            assert abs(row.difference) < 0.05
    assert cost.counters.cycle == pytest.approx(compiled.total_cycles, rel=0.02)


def test_rows_of_another_compilation_are_refused(compiled: vela.CompiledModel) -> None:
    cost = Emulator(load_vela_model(compiled.path)).cost(memory_system(memory_mode=MODE))
    first, *rest = (layer for layer in compiled.layers if layer.cycles)
    with pytest.raises(ModelError, match=rf"{first.name}.*one compilation"):
        compare_with_vela(cost, [replace(first, macs=first.macs + 1), *rest])
    with pytest.raises(ModelError, match=r"1 operations of the stream are in no row"):
        compare_with_vela(cost, [first, *rest[:-1]])


def test_command_prints_every_layer_and_the_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(generate("chain_int8", 1))
    assert main([str(model), "--accelerator", "ethos-u55-64"]) == 0
    heading, columns, *rows, total = capsys.readouterr().out.splitlines()
    assert heading.startswith("net, ethos-u55-64, ")
    assert {"vela", "emulator"} <= set(columns.split())
    assert [row.split()[1] for row in rows] == ["Conv2D", "Add", "MaxPool"]
    assert total.startswith("total")
    assert main([str(tmp_path / "missing.tflite")]) == 1
    assert "missing.tflite" in capsys.readouterr().err

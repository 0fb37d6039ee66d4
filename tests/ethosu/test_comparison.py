"""Vela's rows meet the emulator's operations, and a table from elsewhere is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ethosu_graphs import generate
from recurrent_graph import RecurrentGraph
from tflite_builder import GraphBuilder, schema

from pipeline.ethosu import Emulator, ModelError, load_vela_model, memory_system, vela
from pipeline.ethosu.comparison import ComparedLayer, compare_with_vela
from pipeline.tools import cycles

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
    assert sum(row.cycles for row in rows) == cost.counters.cycle
    assert cost.counters.cycle == pytest.approx(compiled.total_cycles, rel=0.02)


def test_rows_of_another_compilation_are_refused(compiled: vela.CompiledModel) -> None:
    cost = Emulator(load_vela_model(compiled.path)).cost(memory_system(memory_mode=MODE))
    first, *rest = (layer for layer in compiled.layers if layer.cycles)
    ((_, offset),) = first.places
    with pytest.raises(ModelError, match=rf"{first.name}.*one compilation"):
        compare_with_vela(cost, [replace(first, places=((0, offset + 4),)), *rest])
    with pytest.raises(ModelError, match=r"is in no row of Vela's table"):
        compare_with_vela(cost, [first, *rest[:-1]])


def test_operator_of_many_operations_is_one_row(tmp_path: Path) -> None:
    graph = GraphBuilder()
    x, y = graph.tensor((1, 12, 14, 16), "int8", 0.02), graph.tensor((1, 16, 12, 14), "int8", 0.02)
    order = graph.tensor((4,), "int32", data=np.array([0, 3, 1, 2]))
    graph.operator("TRANSPOSE", [x, order], [y], "TransposeOptions")
    path = tmp_path / "transpose.tflite"
    path.write_bytes(graph.build([x], [y]))
    built = vela.compile(path, tmp_path)
    cost = Emulator(load_vela_model(built.path)).cost()
    rows = compare_with_vela(cost, built.layers)
    assert len(rows) < len(cost.operations)
    assert sum(len(row.operations) for row in rows) == len(cost.operations)


def _compared(graph: GraphBuilder, x: int, y: int, folder: Path) -> ComparedLayer:
    path = folder / "layer.tflite"
    path.write_bytes(graph.build([x], [y]))
    built = vela.compile(path, folder, memory_mode=MODE)
    cost = Emulator(load_vela_model(built.path)).cost(memory_system(memory_mode=MODE))
    return max(compare_with_vela(cost, built.layers), key=lambda row: row.cycles)


@pytest.mark.parametrize("shape", [(42, 42, 3), (63, 65, 3), (100, 1, 16), (7, 7, 128)])
def test_kernels_beyond_eight_taps_charge_each_part_its_own_extent(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, *shape), "int8", 0.02)
    axes = graph.tensor((2,), "int32", data=np.array([1, 2]))
    y = graph.tensor((1, 1, 1, shape[2]), "int8", 0.01)
    graph.operator("MEAN", [x, axes], [y], "ReducerOptions", keepDims=True)
    row = _compared(graph, x, y, tmp_path)
    assert abs(row.difference) < 0.1
    transfers = (t for operation in row.operations for t in operation.transfers)
    read = sum(t.payload_bytes for t in transfers if t.kind == "ifm")
    assert read <= np.prod(shape)  # No input byte twice.


@pytest.mark.parametrize("kernel", [2, 6, 8])
@pytest.mark.parametrize("name", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
def test_pooling_waits_for_its_input_block(name: str, kernel: int, tmp_path: Path) -> None:
    graph, size = GraphBuilder(), 2 * kernel
    x = graph.tensor((1, size, size, 64), "int8", 0.02)
    y = graph.tensor((1, 2, 2, 64), "int8", 0.02)
    graph.operator(
        name, [x], [y], "Pool2DOptions", padding=schema.Padding.VALID, strideH=kernel,
        strideW=kernel, filterHeight=kernel, filterWidth=kernel,
    )  # fmt: skip
    assert abs(_compared(graph, x, y, tmp_path).difference) < 0.1


def test_rows_of_one_channel_are_packed(tmp_path: Path) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, 64, 64, 1), "int8", 0.02)
    w = graph.tensor((8, 3, 3, 1), "int8", 0.01, 0, np.ones((8, 3, 3, 1)))
    b = graph.tensor((8,), "int32", 0.0002, 0, np.zeros(8))
    y = graph.tensor((1, 32, 32, 8), "int8", 0.2)
    graph.operator(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=schema.Padding.SAME,
        strideH=2, strideW=2, dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    row = _compared(graph, x, y, tmp_path)
    (transfer,) = (t for item in row.operations for t in item.transfers if t.kind == "ifm")
    assert transfer.beats < transfer.payload_bytes / 4
    assert abs(row.difference) < 0.1


def test_command_prints_every_layer_and_the_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(generate("chain_int8", 1))
    cycles.main([str(model), "--accelerator", "ethos-u55-64"])
    heading, columns, *rows, total = capsys.readouterr().out.splitlines()
    assert heading.startswith("net, ethos-u55-64, ")
    assert {"vela", "emulator"} <= set(columns.split())
    assert [row.split()[1] for row in rows] == ["Conv2D", "Add", "MaxPool"]
    assert total.startswith("total")
    with pytest.raises(SystemExit) as stopped:
        cycles.main([str(tmp_path / "missing.tflite")])
    assert stopped.value.code == 2
    assert "missing.tflite" in capsys.readouterr().err

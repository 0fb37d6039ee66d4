"""The Vela wrapper: exact sizes, named CPU operators, clear errors, nothing half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.ethosu import ModelError, vela
from pipeline.lowering.flatbuffer import Graph

INPUTS, UNITS = 128, 256


def write_model(path: Path, kept: float = 1.0) -> Path:
    """Two dense layers with an activation each; `kept` of the weights are not zero."""
    rng = np.random.default_rng(0)
    graph = Graph("dense")
    x = graph.input("x", (1, INPUTS), "int8", 1 / 64)
    for name, units in (("wide", UNITS), ("narrow", 32)):
        values = rng.normal(0, 30, (units, x.shape[1])) * (rng.random((units, x.shape[1])) < kept)
        weights = graph.constant(
            f"{name}/w", np.clip(np.rint(values), -127, 127).astype(np.int8), 0.01
        )
        bias = graph.constant(f"{name}/b", np.zeros(units, np.int32), x.scale * weights.scale)
        y = graph.fully_connected(x, weights, bias, name=f"{name}, in", scale=1 / 16)
        x = graph.tanh(y, name=f"{name}, out")
    graph.output(x)
    path.write_bytes(graph.to_bytes())
    return path


def write_widening_model(path: Path) -> Path:
    graph = Graph("float", widening="float")
    x = graph.input("x", (1, 16), "int8", 1 / 128)
    graph.output(graph.quantize(x, name="wide", dtype="int16", scale=1 / 32768))
    path.write_bytes(graph.to_bytes())
    return path


def test_flash_is_split_exactly(tmp_path: Path) -> None:
    compiled = vela.compile(write_model(tmp_path / "net.tflite"), tmp_path / "out")
    flash = compiled.flash
    assert flash.scales == 10 * UNITS + 10 * 32  # One 10-byte record an output channel.
    assert flash.lookup_tables % 256 == 0 and flash.lookup_tables > 0
    assert flash.other < 16 * 4  # Alignment alone.
    # Random dense weights do not compress below 6 bits or grow past 8.5.
    weights = INPUTS * UNITS + UNITS * 32
    assert 0.75 * weights < flash.weights < 1.07 * weights
    # All of it is in the file, with little more: names, shapes, tables of offsets.
    content = compiled.path.stat().st_size
    assert flash.total < content < flash.total + 4096
    parts = (flash.weights, flash.scales, flash.lookup_tables, flash.other, flash.command_stream)
    assert flash.total == sum(parts)


def test_zeros_shrink_the_weights_and_nothing_else(tmp_path: Path) -> None:
    dense = vela.compile(write_model(tmp_path / "dense.tflite"), tmp_path).flash
    sparse = vela.compile(write_model(tmp_path / "sparse.tflite", kept=0.1), tmp_path).flash
    assert sparse.weights < 0.4 * dense.weights
    assert (sparse.scales, sparse.lookup_tables) == (dense.scales, dense.lookup_tables)


def test_layers_add_up_and_name_their_tensors(tmp_path: Path) -> None:
    compiled = vela.compile(write_model(tmp_path / "net.tflite"), tmp_path / "out")
    assert sum(layer.cycles for layer in compiled.layers) == compiled.total_cycles
    dense = [layer for layer in compiled.layers if layer.operator == "FullyConnected"]
    assert [layer.macs for layer in dense] == [INPUTS * UNITS, UNITS * 32]
    assert [layer.name for layer in dense] == ["wide, out", "narrow, out"]
    assert compiled.latency_us == pytest.approx(compiled.total_cycles / 500)
    assert compiled.source == "vela"


def test_weights_in_sram_cost_fewer_cycles_and_the_same_flash(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.tflite")
    in_flash = vela.compile(path, tmp_path / "flash", memory_mode="Shared_Sram")
    in_sram = vela.compile(path, tmp_path / "sram", memory_mode="Sram_Only")
    assert in_sram.flash == in_flash.flash
    assert in_sram.total_cycles < in_flash.total_cycles
    assert in_flash.total_cycles > in_flash.npu_cycles  # Waits for the flash.


@pytest.mark.parametrize("macs", [32, 64, 128, 256])
def test_every_accelerator_and_system_compiles(macs: int, tmp_path: Path) -> None:
    for system in vela.system_configs():
        compiled = vela.compile(
            write_model(tmp_path / "net.tflite"),
            tmp_path / "out",
            accelerator=f"ethos-u55-{macs}",
            system_config=system,
            optimise="Size",
        )
        assert compiled.flash.scales == 10 * UNITS + 10 * 32
        assert compiled.arena_bytes >= INPUTS


def test_cpu_operators_are_an_error_that_names_them(tmp_path: Path) -> None:
    path = write_widening_model(tmp_path / "net.tflite")
    with pytest.raises(vela.CpuFallbackError, match=r"DEQUANTIZE \(wide/real\)") as error:
        vela.compile(path, tmp_path / "out")
    assert error.value.operators == ("DEQUANTIZE (wide/real)", "QUANTIZE (wide)")
    assert list((tmp_path / "out").iterdir()) == []
    allowed = vela.compile(path, tmp_path / "out", allow_cpu_fallback=True)
    assert allowed.cpu_operators == error.value.operators
    assert allowed.flash.total == 0


def test_unknown_choices_list_the_valid_ones(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.tflite")
    with pytest.raises(ValueError, match="ethos-u55-512.*ethos-u55-128"):
        vela.compile(path, tmp_path, accelerator="ethos-u55-512")
    with pytest.raises(ValueError, match="'Fast'.*Ethos_U55_High_End_Embedded"):
        vela.compile(path, tmp_path, system_config="Fast")
    with pytest.raises(ValueError, match="'Flash'.*Sram_Only.*Shared_Sram"):
        vela.compile(path, tmp_path, memory_mode="Flash")
    with pytest.raises(ValueError, match="'Speed'.*Performance.*Size"):
        vela.compile(path, tmp_path, optimise="Speed")  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64])
def test_broken_files_are_refused_whole(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.tflite: (is empty|is not|damaged)"):
        vela.compile(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tflite"):
        vela.compile(tmp_path / "absent.tflite", tmp_path / "out")

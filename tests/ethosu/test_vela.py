"""The Vela wrapper: exact sizes, named CPU operators, clear errors, nothing half written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema
from tflite_builder import GraphBuilder

from pipeline.ethosu import ModelError, vela
from pipeline.ethosu.errors import OptionError
from pipeline.ethosu.memory_system import memory_system
from pipeline.ethosu.vela_config import ARM, VelaConfig
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
    for system in ARM.systems():
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


@pytest.mark.parametrize("activation", ["NONE", "RELU"])
def test_the_reason_is_found_though_vela_takes_activations_apart(
    activation: str, tmp_path: Path
) -> None:
    graph = GraphBuilder()
    x, y = graph.tensor((1, 8, 32, 4), "int8", 0.1), graph.tensor((1, 8, 8, 4), "int8", 0.1)
    w = graph.tensor((4, 3, 3, 4), "int8", 0.1, data=np.ones((4, 3, 3, 4), np.int8))
    b = graph.tensor((4,), "int32", 0.01, data=np.zeros(4, np.int32))
    graph.operator(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=schema.Padding.SAME, strideH=1,
        strideW=4, fusedActivationFunction=getattr(schema.ActivationFunctionType, activation),
    )  # fmt: skip
    path = tmp_path / "net.tflite"
    path.write_bytes(graph.build([x], [y]))
    compiled = vela.compile(path, tmp_path / "out", allow_cpu_fallback=True)
    (reason,) = compiled.cpu_reasons
    assert "kernel stride: 4, 1" in reason


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


def test_refusal_is_one_line_without_the_traceback(tmp_path: Path) -> None:
    graph = GraphBuilder()
    x, y = graph.tensor((1, 8), "int8", 0.1), graph.tensor((1, 8), "int8", 0.1)
    graph.operator("ABS", [], [y], "AbsOptions")
    path = tmp_path / "net.tflite"
    path.write_bytes(graph.build([x], [y]))
    with pytest.raises(vela.VelaError) as refused:
        vela.compile(path, tmp_path / "out")
    text = str(refused.value)
    assert re.search(r"net\.tflite: Vela refuses it: \w+Error: .*ABS", text), text
    assert "File " not in text and "\n" not in text
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tflite"):
        vela.compile(tmp_path / "absent.tflite", tmp_path / "out")


OWN = """
[System_Config.Slow_Flash]
inherit=System_Config.Ethos_U55_High_End_Embedded
OffChipFlash_clock_scale=0.0625

[Memory_Mode.Shared]
inherit=Memory_Mode.Shared_Sram
arena_cache_size=65536
"""


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_ones_own_configuration_is_compiled_for(mark: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_bytes(mark + OWN.encode())
    config = VelaConfig.load(tmp_path / "own.ini")
    assert config.systems() == (*ARM.systems(), "Slow_Flash")
    assert config.memory_modes() == ("Sram_Only", "Shared_Sram", "Shared")
    path = write_model(tmp_path / "net.tflite")
    arm = vela.compile(path, tmp_path)
    own = vela.compile(path, tmp_path, "ethos-u55-128", "Slow_Flash", "Shared", config=config)
    assert own.flash == arm.flash
    assert own.clock_hz == arm.clock_hz
    assert own.total_cycles > 1.5 * arm.total_cycles  # Its flash has half the bandwidth.
    assert memory_system("Slow_Flash", "Shared", config).memory(0).bytes_per_cycle == 0.5
    with pytest.raises(ValueError, match="unknown system 'Slow_Flash'"):
        vela.compile(path, tmp_path, system_config="Slow_Flash")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"hello", "own.ini: cannot be read as a Vela configuration: .*no section headers"),
        (b"\xff\xfe", "own.ini: cannot be read as a Vela configuration: .*can't decode"),
        (b"[Board]\nclock=1", r"own.ini: has neither a \[System_Config.NAME\] nor a"),
        (b"[Memory_Mode.X]\n[Memory_Mode.X]", "already exists"),
    ],
)
def test_a_damaged_configuration_is_named(text: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_bytes(text)
    with pytest.raises(OptionError, match=problem):
        VelaConfig.load(tmp_path / "own.ini")


@pytest.mark.parametrize(
    ("system", "mode", "problem"),
    [
        ("core_clock=fast", "", "could not convert string to float: 'fast'"),
        ("core_clock=0", "", "core_clock is 0, expected a positive number"),
        ("core_clock=nan", "", "core_clock is nan, expected a positive number"),
        ("axi1_port=Disk", "", "'Disk' is no memory, expected Sram, Dram,"),
        ("axi1_port=Dram", "", "'Dram_clock_scale' is missing"),
        ("inherit=System_Config.X", "", r"\[System_Config.X\] cannot inherit from"),
        ("inherit=System_Config.Y", "", r"\[System_Config.X\] cannot inherit from"),
        ("", "arena_mem_area=Axi1", "arena_mem_area is OffChipFlash, expected Sram or Dram"),
        ("", "cache_mem_area=Axi2", "'Axi2'"),
        ("axi1_port=Sram", "", "const_mem_area is Sram, expected Dram or OnChipFlash"),
    ],
)
def test_what_vela_refuses_is_refused_before(system: str, mode: str, problem: str) -> None:
    base = "" if "inherit" in system else "inherit=System_Config.Ethos_U55_High_End_Embedded\n"
    config = VelaConfig(
        f"[System_Config.X]\n{base}{system}\n"
        f"[Memory_Mode.X]\ninherit=Memory_Mode.Shared_Sram\n{mode}\n"
    )
    with pytest.raises(OptionError, match=problem):
        memory_system("X", "X", config)

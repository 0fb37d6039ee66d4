"""The check of any TFLite model: what runs where, proof, cycles, sizes, weights, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ethosu_graphs import generate
from fused_lstm_graph import fused_lstm
from tflite_builder import GraphBuilder, schema

from pipeline.ethosu.golden import GOLDENS
from pipeline.tools.check import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Checks a model with few inferences, by default against TFLite Micro only: it starts fast."""

    def check(content: bytes, *options: str, references: tuple[str, ...] = ("tflm",)) -> Any:
        for kind in set(GOLDENS) - set(references):
            monkeypatch.delitem(GOLDENS, kind)
        path = tmp_path / "net.tflite"
        path.write_bytes(content)
        try:
            code = main([str(path), "--inferences", "3", *options])
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return check


def _with_float_ends() -> bytes:
    graph = GraphBuilder()
    x, y = graph.tensor((1, 6, 6, 4), "float32"), graph.tensor((1, 3, 3, 4), "float32")
    q = graph.tensor((1, 6, 6, 4), "int8", 0.1, 3)
    r = graph.tensor((1, 3, 3, 4), "int8", 0.1, 3)
    graph.operator("QUANTIZE", [x], [q], "QuantizeOptions")
    graph.operator(
        "MAX_POOL_2D", [q], [r], "Pool2DOptions", padding=schema.Padding.VALID, strideH=2,
        strideW=2, filterHeight=2, filterWidth=2,
    )  # fmt: skip
    graph.operator("DEQUANTIZE", [r], [y], "DequantizeOptions")
    return graph.build([x], [y])


def _with_reversal() -> bytes:
    """The NPU adds, the CPU reverses, the NPU adds again."""
    graph = GraphBuilder()
    tensors = [graph.tensor((1, 16), "int8", 0.1 * 2**n, 1) for n in (0, 1, 1, 2)]
    axis = graph.tensor((1,), "int32", data=np.array([1]))
    graph.operator("ADD", [tensors[0], tensors[0]], [tensors[1]], "AddOptions")
    graph.operator("REVERSE_V2", [tensors[1], axis], [tensors[2]], "ReverseV2Options")
    graph.operator("ADD", [tensors[2], tensors[2]], [tensors[3]], "AddOptions")
    return graph.build([tensors[0]], [tensors[3]])


def test_every_finding_is_in_the_json(run: Run) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, 64), "int8", 0.05, 2)
    values = np.zeros((32, 64))
    values[:, ::4] = np.arange(1, 17)
    w = graph.tensor((32, 64), "int8", 0.01, 0, values)
    b = graph.tensor((32,), "int32", 0.0005, 0, np.zeros(32))
    y = graph.tensor((1, 32), "int8", 0.2, -3)
    graph.operator("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions")
    code, out, _ = run(graph.build([x], [y]), "--json", "--memory-mode", "Sram_Only")
    (result,) = json.loads(out)
    assert code == 0 and result["passes"]
    assert (result["accelerator"], result["memory_mode"]) == ("ethos-u55-128", "Sram_Only")
    (part,) = result["parts"]
    assert part["proven"] and not part["hazards"] and not part["variables"]
    (verification,) = part["verifications"]
    kinds = {"random": 96, "zero points": 32, "lowest": 32, "highest": 32, "extremes in turn": 32}
    assert {k: t["elements"] for k, t in verification["tallies"].items()} == kinds
    (layer,) = part["layers"]
    assert layer["name"] == f"t{y}" and layer["macs"] == 64 * 32
    assert layer["emulator_cycles"] == result["cycles"]["emulator"] > 0
    (tensor,) = result["weights"]
    assert (tensor["shape"], tensor["sparsity"]) == ([32, 64], 0.75)
    assert tensor["distinct_values"] == 17
    sram, flash = result["fits"]
    assert flash["needed"] == result["flash_bytes"]["total"]
    assert sram["needed"] == flash["needed"] + result["arena_bytes"]  # Sram_Only: weights too.


@pytest.mark.parametrize(("kib", "expected"), [("64", 0), ("1", 1)])
def test_memory_there_is_decides(kib: str, expected: int, run: Run) -> None:
    code, out, _ = run(generate("fully_connected_int8", 3), "--flash-kib", kib)
    assert code == expected
    assert ("DOES NOT FIT" in out) == bool(expected)
    assert ("NOT PASSED" in out) == bool(expected)


def test_every_accelerator_is_checked_against_both_references(run: Run) -> None:
    options = ("--accelerator", "all", "--json")
    code, out, _ = run(generate("conv_int8", 1), *options, references=("tflm", "tflite"))
    results = json.loads(out)
    assert code == 0
    assert [r["accelerator"] for r in results] == [f"ethos-u55-{n}" for n in (32, 64, 128, 256)]
    for result in results:
        (part,) = result["parts"]
        assert {v["reference"]: v["exact"] for v in part["verifications"]} == {
            "tflm": True,
            "tflite": True,
        }


def test_float_ends_are_cut_off(run: Run) -> None:
    code, out, _ = run(_with_float_ends())
    assert code == 0
    assert "cut off at a float end: QUANTIZE (t0)" in out
    assert "cut off at a float end: DEQUANTIZE (t1)" in out
    assert "on the CPU" not in out and "exact: equal to TFLite Micro" in out


def test_parts_around_cpu_operators_are_proven_one_by_one(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(_with_reversal())
    assert code == 1 and "NOT PASSED" in out
    assert "on the CPU: REVERSE_V2 (t2): Unsupported reverse mask" in out
    assert "NPU operator 1 of 2: t0 -> t1" in out and "NPU operator 2 of 2: t2 -> t3" in out
    assert out.count("exact: equal to TFLite Micro") == 2
    np.save(tmp_path / "in.npy", np.zeros((1, 16), np.int8))
    code, out, error = run(_with_reversal(), "--input", str(tmp_path / "in.npy"))
    assert code == 2 and not out
    assert "2 parts run on the NPU and 1 operators on the CPU" in error


def test_variables_keep_state_and_are_named(run: Run) -> None:
    code, out, _ = run(fused_lstm(1, 3, features=16, units=16))
    assert code == 0 and "keeps state in t" in out


def test_what_no_reference_confirms_does_not_pass(run: Run) -> None:
    """Vela emits a sum over the height where the model asks for height and width."""
    graph = GraphBuilder()
    x, y = graph.tensor((1, 4, 6, 10), "int8", 0.1), graph.tensor((1, 1, 1, 10), "int8", 2.4)
    axes = graph.tensor((2,), "int32", data=np.array([1, 2]))
    graph.operator("SUM", [x, axes], [y], "ReducerOptions", keepDims=True)
    code, out, _ = run(graph.build([x], [y]), references=("tflm", "tflite"))
    assert code == 1 and "NOT PROVEN exact" in out and "elements differ, by up to" in out


def test_reference_that_aborts_on_some_inputs_is_told(run: Run) -> None:
    graph = GraphBuilder()
    x, y = graph.tensor((1, 600), "int8", 0.1, 3), graph.tensor((1, 600), "int8", 1 / 256, -128)
    graph.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    code, out, _ = run(graph.build([x], [y]))
    assert code == 0
    assert "against TFLite Micro, zero points:" in out and "Aborted" in out
    assert "against TFLite Micro, random: 0 of 1800 elements differ" in out


def test_given_inputs_are_compared_too(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.arange(-64, 80, dtype=np.int8).reshape(1, 6, 6, 4))
    code, out, _ = run(_with_float_ends(), "--input", str(tmp_path / "in.npy"))
    assert code == 0 and "against TFLite Micro, given: 0 of 36 elements differ" in out


def test_lost_output_and_unused_input_are_no_surprise(run: Run) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, 8, 8, 4), "int8", 0.1, 1)
    unused = graph.tensor((1, 3), "float32")
    paddings = graph.tensor((4, 2), "int32", data=np.array([[0, 0], [1, 0], [1, 0], [0, 0]]))
    padded = graph.tensor((1, 9, 9, 4), "int8", 0.1, 1)
    w = graph.tensor((1, 3, 3, 4), "int8", 0.01, 0, np.ones((1, 3, 3, 4)))
    b = graph.tensor((4,), "int32", 0.001, 0, np.zeros(4))
    y = graph.tensor((1, 4, 4, 4), "int8", 0.2, 0)
    graph.operator("PAD", [x, paddings], [padded], "PadOptions")
    graph.operator(
        "DEPTHWISE_CONV_2D", [padded, w, b], [y], "DepthwiseConv2DOptions", padding=1,
        strideH=2, strideW=2, depthMultiplier=1,
    )  # fmt: skip
    code, out, _ = run(graph.build([x, unused], [y]))
    assert code == 0 and "exact: equal to TFLite Micro" in out
    code, out, _ = run(graph.build([x], [padded, y]))
    assert code == 1 and f"LOST OUTPUT: tensor 't{padded}'" in out
    assert "exact: equal to TFLite Micro" in out


def test_weights_with_zero_points_are_told(run: Run) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, 8, 8, 16), "int8", 0.05, 2)
    w = graph.tensor((1, 3, 3, 16), "int8", 0.01, 7, np.full((1, 3, 3, 16), 7))
    b = graph.tensor((16,), "int32", 0.0005, 0, np.zeros(16))
    y = graph.tensor((1, 8, 8, 16), "int8", 0.2, -3)
    graph.operator(
        "DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=0,
        strideH=1, strideW=1, depthMultiplier=1,
    )  # fmt: skip
    code, out, _ = run(graph.build([x], [y]))
    assert code == 1
    assert f"t{w}: weights with zero points other than 0" in out
    assert re.search(r"100\.0% +1\b", out)  # What lies at the zero point is a zero.


def test_page_holds_tables_timeline_and_nothing_executable(run: Run, tmp_path: Path) -> None:
    content = _with_float_ends().replace(b"t3", b"<&")
    page = tmp_path / "check.html"
    code, _, _ = run(content, "--html", str(page))
    text = page.read_text()
    assert code == 0
    assert "<svg" in text and "<rect" in text and "cycles</title>" in text
    assert "&lt;&amp;" in text and "<&<" not in text and "<script" not in text
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_float_models_and_foreign_files_are_refused_in_one_line(run: Run) -> None:
    graph = GraphBuilder()
    x, y = graph.tensor((1, 8), "float32"), graph.tensor((1, 8), "float32")
    graph.operator("ABS", [x], [y], "AbsOptions")
    code, out, _ = run(graph.build([x], [y]))
    assert code == 1 and "nothing of it runs on the NPU: it computes in floating point" in out
    code, out, error = run(b"")
    assert code == 2 and not out
    (line,) = error.splitlines()
    assert line.endswith("net.tflite: is empty")
    for cut in (30, 300, 600):
        code, out, error = run(_with_float_ends()[:cut])
        (line,) = error.splitlines()
        assert code == 2 and not out and "net.tflite: damaged model file" in line
    code, _, error = run(generate("conv_int8", 0), "--memory-mode", "Fast")
    assert code == 2 and "Shared_Sram" in error

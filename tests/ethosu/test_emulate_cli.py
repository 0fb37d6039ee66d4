"""The command line: listing, counters, trace, hazards, comparison, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ethosu_graphs import generate
from ethosu_reference import vela_compile
from recurrent_graph import RecurrentGraph

from pipeline.emulate import main
from pipeline.ethosu import Emulator, load_vela_model


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model = generate("chain_int8", 1)
    golden, compiled = tmp_path / "model.tflite", tmp_path / "model_vela.tflite"
    golden.write_bytes(model)
    compiled.write_bytes(vela_compile(model))
    return golden, compiled


def test_golden_comparison_and_output(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, compiled = files
    out = tmp_path / "out.npz"
    arguments = [str(compiled), "--golden", str(golden), "--inferences", "3", "--output", str(out)]
    assert main(arguments) == 0
    assert "0 of" in capsys.readouterr().out
    (values,) = np.load(out).values()
    assert len(values) == 3
    assert [path.name for path in tmp_path.glob("*partial*")] == []


def test_golden_interpreter_decides_the_rounding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = generate("fully_connected_int16", 0)
    golden, compiled = tmp_path / "model.tflite", tmp_path / "model_vela.tflite"
    golden.write_bytes(model)
    compiled.write_bytes(vela_compile(model))
    arguments = [str(compiled), "--golden", str(golden), "--inferences", "20"]
    assert main([*arguments, "--golden-interpreter", "tflm"]) == 0
    assert main([*arguments, "--golden-interpreter", "tflite"]) == 1
    micro, tflite = capsys.readouterr().out.splitlines()
    assert micro.startswith("0 of") and not tflite.startswith("0 of")


def test_raw_output_is_matched_by_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = tmp_path / "model.tflite"
    golden.write_bytes(RecurrentGraph(units=16, layers=1).build())
    vela = [sys.executable, "-m", "ethosu.vela", str(golden), "--output-format=raw"]
    accelerator = "--accelerator-config=ethos-u55-64"
    subprocess.run(
        [*vela, accelerator, f"--output-dir={tmp_path}"], check=True, capture_output=True
    )
    raw = tmp_path / "model_vela.npz"
    arguments = [str(raw), "--golden", str(golden), "--golden-interpreter", "tflm"]
    assert main([*arguments, "--inferences", "5"]) == 0
    assert "0 of" in capsys.readouterr().out
    assert load_vela_model(raw).accelerator == "ethos-u55-64"


def test_golden_of_another_model_is_refused(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(generate("conv_int8", 0))
    assert main([str(files[1]), "--golden", str(other)]) == 1
    assert "other.tflite has tensors" in capsys.readouterr().err


def test_mismatch_fails(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tflite"
    changed = bytearray(files[0].read_bytes())
    weights = changed.find(load_weights(files[0]))
    changed[weights] ^= 0x40
    other.write_bytes(bytes(changed))
    assert main([str(files[1]), "--golden", str(other)]) == 1
    assert "elements differ" in capsys.readouterr().out


def load_weights(path: Path) -> bytes:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(path))
    largest = max(
        (d for d in interpreter.get_tensor_details() if len(d["shape"]) == 4 and d["shape"][0] > 1),
        key=lambda d: int(np.prod(d["shape"])),
    )
    return bytes(interpreter.get_tensor(largest["index"]).tobytes())


def test_state_option_feeds_outputs_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = RecurrentGraph(units=16, layers=1)
    compiled, out = tmp_path / "r_vela.tflite", tmp_path / "out.npz"
    compiled.write_bytes(vela_compile(graph.build()))
    pairs = [item for out_, in_ in graph.feedback.items() for item in ("--state", f"{out_}={in_}")]
    rng = np.random.default_rng(0)
    hops = rng.integers(-128, 128, (5, 1, 128)).astype(np.int8)
    np.save(tmp_path / "in.npy", hops)
    assert (
        main([str(compiled), "--input", str(tmp_path / "in.npy"), "--output", str(out), *pairs])
        == 0
    )
    emulator = Emulator(load_vela_model(compiled))
    states = {s.name: np.zeros(s.shape, s.dtype) for s in emulator.model.inputs}
    for hop in hops:
        outputs = emulator.invoke({**states, "t0": hop})
        states |= {into: outputs[from_] for from_, into in graph.feedback.items()}
    for name, last in outputs.items():
        assert np.array_equal(np.load(out)[name][-1], last)


def test_dump_lists_every_command_and_operation(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files[1]), "--dump"]) == 0
    lines = capsys.readouterr().out.splitlines()
    operations = [line for line in lines if line.startswith("#")]
    kinds = [line.split()[2] for line in operations if " DMA " not in line]
    assert list(dict.fromkeys(kinds)) == ["CONV", "ELEMENTWISE", "POOL"]
    assert "stride 2x2" in operations[-1]
    assert sum("NPU_" in line for line in lines) == len(lines) - len(operations)


def test_counters_check_and_trace(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.json"
    assert main([str(files[1]), "--counters", "--check", "--trace", str(trace)]) == 0
    text = capsys.readouterr().out
    assert "no hazards" in text
    assert "NPU_ACTIVE" in text
    events = json.loads(trace.read_text())["traceEvents"]
    busy = [event for event in events if event["ph"] == "X"]
    assert {"MAC", "output", "weight decode"} <= {event["cat"] for event in busy}
    assert all(event["dur"] > 0 for event in busy)


def test_bad_files_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uncompiled = tmp_path / "model.tflite"
    uncompiled.write_bytes(generate("conv_int8", 0))
    assert main([str(uncompiled)]) == 1
    assert "run on the CPU, not the NPU: CONV_2D" in capsys.readouterr().err
    uncompiled.write_bytes(b"not a model")
    assert main([str(uncompiled)]) == 1
    assert "identifier TFL3" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.tflite")]) == 1

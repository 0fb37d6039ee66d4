"""The command line: listing, counters, trace, hazards, comparison, and bad input."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ethosu_graphs import generate
from ethosu_reference import vela_compile
from fused_lstm_graph import fused_lstm
from recurrent_graph import RecurrentGraph
from tflite_builder import GraphBuilder

from pipeline.ethosu import Emulator, load_vela_model
from pipeline.tools import cycles
from pipeline.tools.emulate import main


def refusal(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    command: Callable[[list[str]], object] = main,
) -> str:
    """The one line that a command ends with where it cannot do what is asked for."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        command(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return _written(tmp_path, "chain_int8", 1)


def _written(tmp_path: Path, family: str, seed: int) -> tuple[Path, Path]:
    model = generate(family, seed)
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
    assert {path.name for path in tmp_path.iterdir()} == {golden.name, compiled.name, out.name}


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
    micro, tflite, why = capsys.readouterr().out.splitlines()
    assert micro.startswith("0 of") and not tflite.startswith("0 of")
    assert "round" in why and "docs/ethosu.md" in why
    assert main(arguments) == 0  # TFLite Micro is what is compared with unless asked otherwise.


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
    line = refusal([str(files[1]), "--golden", str(other)], capsys)
    assert "other.tflite has tensors" in line


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


def test_unequal_quantizations_are_not_fed_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = GraphBuilder()
    x, h = graph.tensor((1, 32), "int8", 0.02, 3), graph.tensor((1, 32), "int8", 0.02, -7)
    y, same = graph.tensor((1, 32), "int8", 0.03, -6), graph.tensor((1, 32), "int8", 0.02, -7)
    graph.operator("ADD", [x, h], [y], "AddOptions")
    graph.operator("SUB", [x, h], [same], "SubOptions")
    compiled, golden = tmp_path / "net_vela.tflite", tmp_path / "net.tflite"
    golden.write_bytes(graph.build([x, h], [y, same]))
    compiled.write_bytes(vela_compile(golden.read_bytes()))
    arguments = [str(compiled), "--golden", str(golden), "--inferences", "3"]
    line = refusal([*arguments, "--state", f"t{y}=t{h}"], capsys)
    assert "scale 0.03, zero -6), the input" in line
    line = refusal([*arguments, "--state", "foo=bar"], capsys)
    assert all(f"t{tensor} (int8[1, 32]" in line for tensor in (x, h, y, same))
    refusal([*arguments, "--state", f"t{same}"], capsys)
    line = refusal([*arguments, *["--state", f"t{same}=t{h}"] * 2], capsys)
    assert "fed twice" in line
    assert main([*arguments, "--state", f"t{same}=t{h}"]) == 0
    assert capsys.readouterr().out == "0 of 192 elements differ over 3 inferences\n"


def test_state_is_reset_as_often_as_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled, golden = tmp_path / "lstm_vela.tflite", tmp_path / "lstm.tflite"
    golden.write_bytes(fused_lstm(0, 2, features=16, units=16))
    compiled.write_bytes(vela_compile(golden.read_bytes()))
    sequence = np.random.default_rng(0).integers(-128, 128, (3, 1, 2, 16)).astype(np.int8)
    np.save(tmp_path / "in.npy", np.concatenate([sequence, sequence]))
    out = tmp_path / "out.npz"
    arguments = [str(compiled), "--input", str(tmp_path / "in.npy"), "--golden", str(golden)]
    for reset, repeats in (([], False), (["--reset-every", "3"], True)):
        assert main([*arguments, "--output", str(out), *reset]) == 0
        (values,) = np.load(out).values()
        assert np.array_equal(values[:3], values[3:]) == repeats
    assert "0 of" in capsys.readouterr().out


def test_nothing_compared_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden, compiled = _written(tmp_path, "conv_int8", 1)
    arguments = [str(compiled), "--golden", str(golden)]
    with pytest.raises(SystemExit) as refused:
        main([*arguments, "--inferences", "0"])
    assert refused.value.code == 2
    (spec,) = load_vela_model(compiled).inputs
    np.save(tmp_path / "in.npy", np.zeros((0, *spec.shape), spec.dtype))
    refusal([*arguments, "--input", str(tmp_path / "in.npy")], capsys)
    # A listing does not hide the comparison.
    refusal([*arguments, "--dump", "--input", str(tmp_path / "in.npy")], capsys)


def test_inputs_that_do_not_fit_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, compiled = _written(tmp_path, "conv_int8", 1)
    (spec,) = load_vela_model(compiled).inputs
    good = np.zeros(spec.shape, spec.dtype)

    def refused(name: str, content: bytes | None = None) -> str:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        line = refusal([str(compiled), "--input", str(path)], capsys)
        assert name in line
        return line

    np.save(tmp_path / "good.npy", good)
    np.savez(tmp_path / "good.npz", **{spec.name: good})
    array, archive = (tmp_path / "good.npy").read_bytes(), (tmp_path / "good.npz").read_bytes()
    for cut in (0, 3, 20, 60, len(array) - 1):
        refused("cut.npy", array[:cut])
    for cut in (4, 50, len(archive) - 30):
        refused("cut.npz", archive[:cut])
    flipped = bytearray(archive)
    flipped[len(archive) // 3] ^= 0xFF
    refused("flipped.npz", bytes(flipped))
    refused("absent.npy")
    np.save(tmp_path / "float.npy", good.astype(np.float64))
    assert "float64, expected int8, in steps of" in refused("float.npy")
    np.save(tmp_path / "shape.npy", good[:, 1:])
    assert "shape" in refused("shape.npy")
    np.savez(tmp_path / "names.npz", other=good)
    assert f"holds ['other'], expected ['{spec.name}']" in refused("names.npz")
    objects = np.array([{}, None], object)
    np.save(tmp_path / "pickle.npy", objects, allow_pickle=True)
    assert "pickle" in refused("pickle.npy")


def test_reference_that_aborts_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both references stop their process on equal inputs to a long softmax; the NPU does not."""
    graph = GraphBuilder()
    x = graph.tensor((1, 600), "int8", 0.1, 3)
    y = graph.tensor((1, 600), "int8", 1 / 256, -128)
    graph.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    golden, compiled = tmp_path / "soft.tflite", tmp_path / "soft_vela.tflite"
    golden.write_bytes(graph.build([x], [y]))
    compiled.write_bytes(vela_compile(golden.read_bytes()))
    np.save(tmp_path / "in.npy", np.full((1, 600), 5, np.int8))
    arguments = [str(compiled), "--input", str(tmp_path / "in.npy")]
    for interpreter in ("tflm", "tflite"):
        asked = ["--golden", str(golden), "--golden-interpreter", interpreter]
        line = refusal([*arguments, *asked], capsys)
        assert "soft.tflite" in line and "Aborted" in line
    assert main([*arguments, "--output", str(tmp_path / "out.npz")]) == 0
    (values,) = np.load(tmp_path / "out.npz").values()
    assert (values == -127).all()  # 256 / 600 rounds to 0 or, as for the references' 511, to 1.


def test_golden_that_is_no_model_is_named(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, compiled = files
    content = golden.read_bytes()
    damaged = [content[:cut] for cut in (0, 5, 21, 100, len(content) // 2)]
    cases = dict.fromkeys(damaged, "")
    cases[compiled.read_bytes()] = "compiled by Vela already"
    for path_content, expected in cases.items():
        path = tmp_path / "golden.tflite"
        path.write_bytes(path_content)
        for interpreter in ("tflm", "tflite"):
            asked = ["--golden", str(path), "--golden-interpreter", interpreter]
            line = refusal([str(compiled), *asked], capsys)
            assert "golden.tflite" in line and expected in line


def _zip(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "is empty"),
    "text": (b"not a model", "identifier TFL3"),
    "keras": (_zip(config__json=b"{}", metadata__json=b"{}"), "Keras model.*convert"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "Keras model.*convert"),
    "zip": (_zip(model__tflite=b"x"), r"zip archive of 1 files \(model\.tflite\); unpack"),
    "torch": (_zip(**{"archive/data__pkl": b""}), "PyTorch"),
    "cut-off zip": (_zip(model__tflite=b"x")[:20], "damaged zip"),
    "numpy": (b"\x93NUMPY" + bytes(64), "NumPy array"),
    "gzip": (b"\x1f\x8b" + bytes(64), "gzip"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_called_what_they_are(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, expected = FOREIGN[kind]
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    for command in (main, cycles.main):
        line = refusal([str(path)], capsys, command)
        assert re.search(rf"model\.tflite: .*{expected}", line), line


def _refusal(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return refusal([str(path), "--check"], capsys)


def test_uncompiled_model_is_sent_to_vela(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _refusal(generate("conv_int8", 0), tmp_path, capsys)
    assert "was not compiled for the NPU" in line and "run vela" in line


@pytest.mark.parametrize(("accelerator", "name"), [("u65", "U65"), ("u85", "U85")])
def test_other_npus_are_named(
    accelerator: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "net.tflite"
    source.write_bytes(generate("conv_int8", 0))
    vela = [sys.executable, "-m", "ethosu.vela", str(source), f"--output-dir={tmp_path}"]
    option = f"--accelerator-config=ethos-{accelerator}-256"
    subprocess.run([*vela, option], check=True, capture_output=True)
    line = _refusal((tmp_path / "net_vela.tflite").read_bytes(), tmp_path, capsys)
    assert f"Ethos-{name}" in line and "compile it again" in line


def test_parts_left_to_the_cpu_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, 8, 8, 4), "float32")
    q, r = graph.tensor((1, 8, 8, 4), "int8", 0.1, 1), graph.tensor((1, 8, 8, 4), "int8", 0.1, 1)
    y = graph.tensor((1, 8, 8, 4), "float32")
    graph.operator("QUANTIZE", [x], [q], "QuantizeOptions")
    graph.operator("ABS", [q], [r], "AbsOptions")
    graph.operator("DEQUANTIZE", [r], [y], "DequantizeOptions")
    line = _refusal(vela_compile(graph.build([x], [y])), tmp_path, capsys)
    assert "2 operators run on the CPU" in line and "tf.int8" in line

    graph = GraphBuilder()
    x, m = (graph.tensor((1, 16), "int8", 0.1, 1) for _ in range(2))
    s, y = (graph.tensor((1, 16), "int8", 0.1, 1) for _ in range(2))
    graph.operator("ADD", [x, x], [m], "AddOptions")
    axis = graph.tensor((1,), "int32", data=np.array([1]))
    graph.operator("REVERSE_V2", [m, axis], [s], "ReverseV2Options")
    graph.operator("ADD", [s, s], [y], "AddOptions")
    line = _refusal(vela_compile(graph.build([x], [y])), tmp_path, capsys)
    assert "1 operators run on the CPU, not the NPU: REVERSE_V2" in line
    assert "float" not in line and "tf.int8" not in line


def test_tensors_without_a_place_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = GraphBuilder()
    x = graph.tensor((1, 8, 8, 4), "int8", 0.1, 1)
    paddings = graph.tensor((4, 2), "int32", data=np.array([[0, 0], [1, 0], [1, 0], [0, 0]]))
    padded = graph.tensor((1, 9, 9, 4), "int8", 0.1, 1)
    w = graph.tensor((1, 3, 3, 4), "int8", 0.01, 0, np.ones((1, 3, 3, 4)))
    b = graph.tensor((4,), "int32", 0.001, 0, np.zeros(4))
    y = graph.tensor((1, 4, 4, 4), "int8", 0.2, 0)
    graph.operator("PAD", [x, paddings], [padded], "PadOptions")
    graph.operator(
        "DEPTHWISE_CONV_2D", [padded, w, b], [y], "DepthwiseConv2DOptions",
        padding=1, strideH=2, strideW=2, depthMultiplier=1,
    )  # fmt: skip
    line = _refusal(vela_compile(graph.build([x], [padded, y])), tmp_path, capsys)
    assert f"'t{padded}' (INT8, [1, 9, 9, 4]) has no place" in line and "fused" in line

    graph = GraphBuilder()
    x, unused = graph.tensor((1, 8), "int8", 0.1, 1), graph.tensor((1, 3), "float32")
    y = graph.tensor((1, 8), "int8", 0.1, 1)
    graph.operator("ABS", [x], [y], "AbsOptions")
    line = _refusal(vela_compile(graph.build([x, unused], [y])), tmp_path, capsys)
    assert f"'t{unused}' (FLOAT32, [1, 3])" in line and "no operator reads it" in line


def test_two_subgraphs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = GraphBuilder()
    x, y = (graph.tensor((1, 8), "int8", 0.1, 1) for _ in range(2))
    graph.operator("ABS", [x], [y], "AbsOptions")
    model = graph.build([x], [y], subgraphs=2)
    assert "has 2 subgraphs, expected 1: export one signature" in _refusal(model, tmp_path, capsys)


def test_without_an_option_the_tensors_are_listed(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files[1])]) == 0
    text = capsys.readouterr().out
    model = load_vela_model(files[1])
    assert all(spec.name in text for spec in model.inputs + model.outputs)

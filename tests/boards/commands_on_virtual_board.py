"""The commands that run the firmware, as users type them, on the virtual board.

As `on_virtual_board.py`, collected only by name: `make firmware-test`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from compiled_enhancer import Compiled
from small_models import accumulator, classifier

from pipeline.boards import demo, infer
from pipeline.boards.board import PACKAGE_FILE
from pipeline.boards.board_options import FIRMWARE, PLUGIN
from pipeline.boards.protocol import FirmwareLog
from pipeline.boards.virtual import VirtualBoard
from pipeline.tools import package as pack

ACCELERATORS = ("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256")


def run_infer(*arguments: str | Path) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        infer.main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.mark.parametrize("accelerator", ACCELERATORS)
@pytest.mark.parametrize("memory_mode", ["Shared_Sram", "Sram_Only"])
def test_a_model_without_front_end_runs_on_every_accelerator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], accelerator: str, memory_mode: str
) -> None:
    model = tmp_path / "classifier.tflite"
    model.write_bytes(classifier())
    options = ("--accelerator", accelerator, "--memory-mode", memory_mode)
    assert run_infer("--model", model, *options) == 0
    text = capsys.readouterr().out
    assert "0 of 48 output bytes differ from the emulator" in text
    assert "0 of 48 output bytes differ from TFLite Micro" in text


def test_inputs_come_from_a_file_and_outputs_go_to_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, inputs, outputs = (tmp_path / name for name in ("m.tflite", "in.npz", "out.npz"))
    model.write_bytes(accumulator())
    a = np.full((3, 1, 16), 16, np.int8)
    np.savez(inputs, a=a, b=np.zeros_like(a))
    assert run_infer("--model", model, "--inputs", inputs, "--outputs", outputs) == 0
    assert "0 of 96 output bytes differ" in capsys.readouterr().out
    written = np.load(outputs)
    assert sorted(written) == ["both", "product"]
    np.testing.assert_array_equal(written["both"], a)
    # The state grows by 1 each time, and is multiplied by 1.
    np.testing.assert_array_equal(written["product"][:, 0, 0], [16, 32, 48])


def test_a_compiled_model_runs_as_it_is(
    compiled: Compiled, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_infer("--model", compiled.vela_path) == 0
    text = capsys.readouterr().out
    assert "differ from the emulator" in text and "TFLite Micro" not in text


def test_a_model_compiled_for_another_npu_and_a_damaged_one_are_refused(
    compiled: Compiled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_infer("--model", compiled.vela_path, "--accelerator", "ethos-u55-256") == 2
    assert "npu_configuration" in capsys.readouterr().err
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(classifier()[:200])
    assert run_infer("--model", broken) == 2
    assert str(broken) in capsys.readouterr().err
    broken.write_bytes(b"no model")
    assert run_infer("--model", broken) == 2
    assert "not a TFLite file" in capsys.readouterr().err


def test_a_run_that_takes_too_long_is_ended_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "classifier.tflite"
    model.write_bytes(classifier())
    assert run_infer("--model", model, "--timeout", "0.001") == 2
    assert "did not finish within 0.001 s" in capsys.readouterr().err


def test_the_demo_enhances_any_recording_with_a_model_of_ones_own(
    compiled: Compiled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a_model_with_a_name_that_is_rather_too_long_for_a_window_of_ordinary_width_or_two"
    model = tmp_path / f"{name}.tflite"
    model.write_bytes(compiled.tflite)
    front_end = compiled.front_end
    fields = {"mean": front_end.mean.tolist(), "deviation": front_end.deviation.tolist()}
    model.with_suffix(".card.json").write_text(json.dumps({"front_end": fields}))
    noisy = tmp_path / "recording.flac"
    rng = np.random.default_rng(1)
    soundfile.write(noisy, 0.1 * rng.standard_normal((44_100, 2)), 44_100)
    out = tmp_path / "out"
    options = ("--model", model, "--accelerator", "ethos-u55-64")
    demo.main([str(word) for word in ("--noisy", noisy, "--out", out, *options)])
    text = capsys.readouterr().out
    assert name in text and "real-time factor: time of a hop / 16 ms" in text
    enhanced, rate_hz = soundfile.read(out / f"{name}.wav")
    assert (rate_hz, len(enhanced)) == (16_000, 16_000)
    assert enhanced.std() > 0


def test_a_model_that_is_no_enhancer_is_told_where_to_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "classifier.tflite"
    model.write_bytes(classifier())
    fields = {"mean": [0.0] * 128, "deviation": [1.0] * 128}
    model.with_suffix(".card.json").write_text(json.dumps({"front_end": fields}))
    with pytest.raises(SystemExit):
        demo.main(["--model", str(model), "--out", str(tmp_path / "out")])
    assert "pipeline.boards.infer" in capsys.readouterr().err


def test_a_package_written_by_the_command_runs_on_the_board(
    compiled: Compiled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, written = tmp_path / "m.tflite", tmp_path / "m.package"
    model.write_bytes(compiled.tflite)
    pack.main([str(model), "-o", str(written)])
    assert "a model without front end" in capsys.readouterr().out
    inputs = sum(spec.size_bytes for spec in compiled.vela.inputs if spec.name == "features")
    (tmp_path / PACKAGE_FILE).write_bytes(written.read_bytes())
    (tmp_path / "in").write_bytes(bytes(5 * inputs))
    log = FirmwareLog.parse(VirtualBoard(FIRMWARE, PLUGIN).run(tmp_path, "run in out"))
    log.raise_for_error()
    expected = compiled.masks(np.zeros((5, inputs), np.int8))
    assert (tmp_path / "out").read_bytes() == expected.tobytes()


def test_a_package_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(classifier())
    for arguments in ([model, "-o", tmp_path / "absent" / "m"], [tmp_path / "none", "-o", "m"]):
        with pytest.raises(SystemExit):
            pack.main([str(word) for word in arguments])
        assert capsys.readouterr().err.startswith("error: ")

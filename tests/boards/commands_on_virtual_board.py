"""The commands that run the firmware, as users type them, on the virtual board.

As `on_virtual_board.py`, collected only by name: `make firmware-test`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from compiled_enhancer import Compiled
from small_models import accumulator, classifier

from pipeline.artefacts import RunDir
from pipeline.boards import FIRMWARE, PLUGIN, demo, infer
from pipeline.boards.board import PACKAGE_FILE
from pipeline.boards.firmware_image import image_size
from pipeline.boards.journal import BoardRun
from pipeline.boards.protocol import FirmwareLog
from pipeline.boards.virtual import VirtualBoard
from pipeline.config import Compress, Config, OnTarget, Variant
from pipeline.corpora.store import Store, StoreWriter
from pipeline.corpora.testset import draw_list, write_list
from pipeline.deployed import Card, Deployed, FrontEndRecord
from pipeline.dsp import RATE_HZ
from pipeline.models import Model, models
from pipeline.stages import compile as compile_stage
from pipeline.stages import compress, convert, on_target, prepare, train
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
    assert f"  {name}  " in text and "real-time factor: time of a hop / 16 ms" in text
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


def test_the_stage_runs_every_compiled_model_and_fills_the_card(
    compiled: Compiled, tmp_path: Path
) -> None:
    config, run_dir = on_virtual_board(), RunDir(tmp_path / "run")
    (model,) = models(config)

    def corpus(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
        write_corpus(work_dir / "corpus" / "test")
        return {}

    def nothing(*made_of: Any) -> dict[str, Any]:
        return {}

    def converted(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
        front_end = FrontEndRecord.of(compiled.front_end)
        Deployed.write(work_dir / "small.tflite", compiled.tflite, Card(front_end=front_end))
        return {}

    prepare.run.adopt(config, run_dir, corpus)
    train.run.adopt(config, run_dir, nothing)
    compress.run.adopt(config, run_dir, nothing, model)
    convert.run.adopt(config, run_dir, converted, model)
    compile_stage.run(config, run_dir)
    on_target.check(config)
    (card,) = on_target.run(config, run_dir)
    run = BoardRun.model_validate(card.results)
    assert run.board == "virtual" and run.image == image_size(FIRMWARE)
    assert set(run.rows) == {"Shared_Sram", "Sram_Only"}
    for (row,) in run.rows.values():
        assert (row.run, row.model, row.engine, row.mask_mismatches) == (
            "virtual", "small", "npu", 0,
        )  # fmt: skip
        assert row.mask_values == 128 * 64 and row.npu_cycles > 0 and row.cpu_ticks > 0
    flash, sram = (run.rows[mode][0].npu_cycles for mode in ("Shared_Sram", "Sram_Only"))
    assert flash > sram


def on_virtual_board() -> Config:
    return Config(
        compress=Compress(variants=(Variant(name="small"),)),
        on_target=OnTarget(board="virtual"),
    )


def write_corpus(folder: Path) -> None:
    """Test mixtures of a second of noise each."""
    rng = np.random.default_rng(1)
    for role, kind in (("speech", "speech"), ("noise", "ambience")):
        writer = StoreWriter(folder / role)
        samples = 0.1 * rng.standard_normal(2 * RATE_HZ)
        origin = {"source": "made", "speaker": "one", "licence": "CC0"}
        writer.append(samples, name=f"{role}.wav", kind=kind, **origin)
        writer.close()
    stores = (Store(folder / role) for role in ("speech", "noise"))
    drawn = draw_list(
        *stores, prefix="t", snrs_db=(0, 6), kinds=("ambience",), samples=RATE_HZ, seed=1
    )
    write_list(drawn, folder / "mixtures.json")


def test_a_package_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(classifier())
    for arguments in ([model, "-o", tmp_path / "absent" / "m"], [tmp_path / "none", "-o", "m"]):
        with pytest.raises(SystemExit):
            pack.main([str(word) for word in arguments])
        assert capsys.readouterr().err.startswith("error: ")

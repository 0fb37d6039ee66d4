"""The whole path on the toy config: it works, it is proven, and being killed changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import shipped
from pipeline.artefacts import RunDir, StageCard
from pipeline.config import Config, load
from pipeline.convert import model_path
from pipeline.run import STAGES

TOY = Path("configs/toy.toml")
# What a clock measured: the only numbers two identical runs may disagree on.
TIMINGS = {"step_ms", "real_time_factor"}


@pytest.fixture(scope="module")
def config() -> Config:
    return load(TOY)


@pytest.fixture(scope="module")
def toy(config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run_dir = RunDir(tmp_path_factory.mktemp("toy") / "run")
    for stage in STAGES.values():
        stage(config, run_dir, False)
    return run_dir


def without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_timings(v) for k, v in value.items() if k not in TIMINGS}
    return value


def test_the_integer_model_is_proven(toy: RunDir) -> None:
    for proof in toy.card("convert").results.values():
        assert proof["weights_equal_training"]
        assert proof["keras_vs_tflite"]["frames"] >= 2000
        assert proof["keras_vs_tflite"]["mask_worst_abs"] == 0.0
        assert proof["tflite_vs_tflm"]["values"] == proof["keras_vs_tflite"]["frames"] * 128
    assert toy.card("convert").results["weight80-int8"]["zero_weights"] >= 0.8


def test_every_system_is_scored_at_every_snr(toy: RunDir) -> None:
    systems = toy.card("evaluate").results["systems"]
    assert set(systems) == {
        *("noisy", "oracle", "dense_float"),
        *("dense-int8", "dense-int8_float", "weight80-int8", "weight80-int8_float"),
    }
    for system in systems.values():
        assert list(system["per_snr_db"]) == ["-6", "-3", "0", "3", "6", "9"]
    assert systems["oracle"]["overall"]["si_sdri_db"]["mean"] > 5


def test_sparsity_shrinks_the_weight_stream(toy: RunDir) -> None:
    compiled = toy.card("compile").results
    for mode in ("Shared_Sram", "Sram_Only"):
        flash = {name: compiled[name][mode]["flash"] for name in compiled}
        assert flash["weight80-int8"]["weights"] < 0.6 * flash["dense-int8"]["weights"]
        assert flash["dense-int8"]["total"] == sum(
            size for part, size in flash["dense-int8"].items() if part != "total"
        )


def test_the_report_is_one_self_contained_page(toy: RunDir) -> None:
    page = (toy.path("report") / "report.html").read_text()
    assert 'src="http' not in page
    assert "weight80-int8" in page


def test_a_finished_run_does_nothing(toy: RunDir, config: Config) -> None:
    started = time.monotonic()
    before = {name: toy.card(name) for name in STAGES}
    assert {name: stage(config, toy, False) for name, stage in STAGES.items()} == before
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", STAGES)
def test_a_killed_stage_is_completed_with_the_same_result(
    name: str, toy: RunDir, config: Config, tmp_path: Path
) -> None:
    run_dir = RunDir(tmp_path / "run")
    shutil.copytree(toy.root, run_dir.root, copy_function=os.link)
    shutil.rmtree(run_dir.path(name))
    _kill_during(name, run_dir)
    completed: StageCard = STAGES[name](config, run_dir, False)
    expected = toy.card(name)
    assert completed.key == expected.key
    assert without_timings(completed.results) == without_timings(expected.results)
    for output in expected.outputs:
        if Path(output).suffix in {".safetensors", ".tflite", ".i16"}:
            assert completed.outputs[output] == expected.outputs[output], output


def _kill_during(name: str, run_dir: RunDir) -> None:
    """Start `pipeline.run` and kill it, and what it started, once ``name`` is at work."""
    command = [sys.executable, "-m", "pipeline.run", "--config", str(TOY)]
    process = subprocess.Popen(
        [*command, "--run-dir", str(run_dir.root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not run_dir.partial(name).exists() and not run_dir.path(name).exists():
            assert process.poll() is None, f"pipeline.run ended before {name}"
            assert time.monotonic() < deadline, f"{name} did not start"
            time.sleep(0.01)
        time.sleep(1.0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_tflite_model_needs_nothing_else(toy: RunDir) -> None:
    """Any TFLite user can open it: one hop, integers in and out, state by name."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(model_path(toy, "weight80-int8")))
    interpreter.allocate_tensors()
    inputs = {d["name"]: d for d in interpreter.get_input_details()}
    outputs = {d["name"]: d for d in interpreter.get_output_details()}
    assert set(inputs) == {"features", "h1", "c1", "h2", "c2"}
    assert set(outputs) == {"mask", "h1_next", "c1_next", "h2_next", "c2_next"}
    for detail in interpreter.get_tensor_details():
        assert not np.issubdtype(detail["dtype"], np.floating)
    for state in ("h1", "c1", "h2", "c2"):
        assert inputs[state]["quantization"] == outputs[f"{state}_next"]["quantization"]


def test_shipped_models_restore_a_run(toy: RunDir, config: Config, tmp_path: Path) -> None:
    """Without training: the same TFLite bytes come out again."""
    shipped.save(config, toy, tmp_path / "models")
    run_dir = RunDir(tmp_path / "run")
    shutil.copytree(toy.path("prepare"), run_dir.path("prepare"), copy_function=os.link)
    shipped.restore(config, run_dir, tmp_path / "models")
    STAGES["convert"](config, run_dir)
    for variant in config.compress.variants:
        again, saved = model_path(run_dir, variant.name), tmp_path / "models"
        assert again.read_bytes() == (saved / f"{variant.name}.tflite").read_bytes()
    (tmp_path / "models" / "dense-int8.card.json").write_text("{")
    with pytest.raises(ValueError, match=r"dense-int8\.card\.json: not a readable model card"):
        shipped.restore(config, run_dir, tmp_path / "models")


def test_cards_are_plain_json(toy: RunDir) -> None:
    for name in STAGES:
        card = json.loads((toy.path(name) / "card.json").read_text())
        assert card["stage"] == name
        assert {"tensorflow", "ethos-u-vela", "python"} <= card["versions"].keys()

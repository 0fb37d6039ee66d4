"""The whole path on the toy config: it works, it is proven, and being killed changes nothing."""

import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little_data import shortened_lists, use_little_data
from safetensors.numpy import load_file

from pipeline.artefacts import Card, RunDir
from pipeline.config import Config, load
from pipeline.corpora.testset import Mixture
from pipeline.networks.trained import Trained
from pipeline.stages import convert, train
from pipeline.stages.evaluate import listening_clips
from pipeline.tools import pretrain, shipped
from pipeline.tools import run as pipeline_run
from pipeline.tools.run import STAGES

TOY = Path("configs/toy.toml")
# What a clock measured: the only numbers two identical runs may disagree on.
TIMINGS = {"step_ms", "real_time_factor"}
VARIANTS = ("dense-int8", "weight80-int8")
ITEMS = tuple(dict.fromkeys(s.item.format(model=v) for s in STAGES for v in VARIANTS))


@pytest.fixture(scope="module")
def config() -> Config:
    return load(TOY)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shortened_lists(tmp_path_factory.mktemp("mixtures"))


@pytest.fixture(scope="module", autouse=True)
def little_data(lists: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        use_little_data(patch, lists)
        yield


@pytest.fixture(scope="module")
def toy(config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run_dir = RunDir(tmp_path_factory.mktemp("toy") / "run")
    for stage in STAGES:
        stage(config, run_dir)
    return run_dir


def results_of(run_dir: RunDir, stage: str) -> dict[str, dict[str, Any]]:
    """Of a stage that has an item of every model."""
    return {name: run_dir.card(f"{stage}/{name}").results for name in VARIANTS}


def without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_timings(v) for k, v in value.items() if k not in TIMINGS}
    return value


def test_a_pretrained_network_is_where_training_starts(
    toy: RunDir, config: Config, tmp_path: Path
) -> None:
    output = tmp_path / "net.safetensors"
    records = list(pretrain.run(config, toy, minutes=1e-4, output=output, command="this"))
    card = json.loads(output.with_suffix(".card.json").read_text())
    assert (card["command"], card["results"]["history"]) == ("this", records)
    given = Trained.load(output)
    assert given.graph == config.model.define()
    assert all(np.isfinite(record["loss"]) for record in records)
    as_it_is = config.train.model_copy(update={"initial_weights": output, "steps": 0})
    run_dir = RunDir(tmp_path / "run")
    shutil.copytree(toy.path("prepare"), run_dir.path("prepare"))
    train.run(config.model_copy(update={"train": as_it_is}), run_dir)
    taken = Trained.load(run_dir.dense)
    for name, array in given.arrays.items():
        np.testing.assert_array_equal(taken.arrays[name], array, err_msg=name)


def test_the_integer_model_is_proven(toy: RunDir) -> None:
    for proof in results_of(toy, "convert").values():
        assert proof["weights_equal_training"]
        assert proof["keras_vs_tflite"]["frames"] >= 2000
        assert proof["keras_vs_tflite"]["mask_worst_abs"] == 0.0
        assert proof["tflite_vs_tflm"]["values"] == proof["keras_vs_tflite"]["frames"] * 128
    assert results_of(toy, "convert")["weight80-int8"]["zero_weights"] >= 0.8


def test_every_system_is_scored_at_every_snr(toy: RunDir) -> None:
    reference = toy.card("evaluate/dense").results
    scored = (reference, *results_of(toy, "evaluate").values())
    systems = {name: system for made in scored for name, system in made["systems"].items()}
    assert set(systems) == {
        *("noisy", "oracle", "dense_float"),
        *("dense-int8", "dense-int8_float", "weight80-int8", "weight80-int8_float"),
    }
    for system in systems.values():
        assert list(system["per_snr_db"]) == ["-6", "-3", "0", "3", "6", "9"]
    assert systems["oracle"]["overall"]["si_sdri_db"]["mean"] > 5


def test_clips_to_listen_to_differ_in_noise_and_snr() -> None:
    silence = np.zeros(4, np.float32)
    kinds = ["ambience", "ambience", "babble", "music"]
    mixtures = [
        Mixture(f"{snr_db} {kind}", silence, silence, snr_db, kind)
        for snr_db in (-6.0, 0.0, 6.0)
        for kind in kinds
    ]
    names = [mixture.name for mixture in listening_clips(mixtures, 3)]
    assert names == ["-6.0 ambience", "0.0 babble", "6.0 music"]
    assert [m.name for m in listening_clips(mixtures[:2], 3)] == ["-6.0 ambience"] * 2


def test_sparsity_shrinks_the_weight_stream(toy: RunDir) -> None:
    compiled = results_of(toy, "compile")
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


def test_a_finished_run_does_nothing(
    toy: RunDir, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {item: toy.card(item) for item in ITEMS}
    # Whatever a stage would do, it would first make its folder.
    monkeypatch.setattr(Path, "mkdir", None)
    after = [card for stage in STAGES for card in stage(config, toy)]
    assert {card.item: card for card in after} == before


@dataclasses.dataclass(frozen=True)
class Moment:
    """When to kill: at the `count`-th audit event of a kind on a path that contains `path`."""

    event: str
    path: str
    count: int = 1


SPARSE = "{}/weight80-int8"
# In the middle of every stage, and last between a finished stage and its appearance.
MOMENTS = (
    ("prepare", Moment("open", "valid/speech.partial/audio.i16")),
    ("train", Moment("open", ".train.partial/.checkpoint.safetensors.tmp", count=2)),
    (SPARSE.format("compress"), Moment("open", ".weight80-int8.partial/.checkpoint", count=2)),
    (SPARSE.format("convert"), Moment("open", ".weight80-int8.partial/.weight80-int8.tflite.tmp")),
    (SPARSE.format("compile"), Moment("open", ".weight80-int8.partial/Sram_Only/weight80-int8")),
    ("evaluate/dense", Moment("os.mkdir", "evaluate/.dense.partial/audio")),
    (SPARSE.format("evaluate"), Moment("os.mkdir", ".weight80-int8.partial/audio")),
    (SPARSE.format("estimate"), Moment("open", "Sram_Only/weight80-int8_vela.tflite")),
    (SPARSE.format("on_target"), Moment("os.rename", "on_target/.weight80-int8.partial", count=2)),
    ("report", Moment("open", ".report.partial/.results.md.tmp")),
    ("report", Moment("os.rename", ".report.partial", count=4)),
)


def test_every_stage_is_killed_once() -> None:
    items = {stage.item.format(model="weight80-int8") for stage in STAGES}
    assert {item for item, _ in MOMENTS} == items


@pytest.mark.parametrize(
    ("item", "moment"), [pytest.param(*m, id=f"{m[0]}-{m[1].event}") for m in MOMENTS]
)
def test_a_killed_run_is_completed_with_the_same_result(
    item: str, moment: Moment, toy: RunDir, config: Config, lists: Path, tmp_path: Path
) -> None:
    run_dir = RunDir(tmp_path / "run")
    shutil.copytree(toy.root, run_dir.root, copy_function=os.link)
    shutil.rmtree(run_dir.path(item))
    # The server imports the pipeline once; every process is a fork of it, killed for real.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.tools.run"])
    process = context.Process(target=run_until_killed, args=(run_dir.root, moment, lists))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert run_dir.partial(item).is_dir()
    assert not run_dir.path(item).exists()

    stage = next(s for s in STAGES if s.item.format(model=VARIANTS[1]) == item)
    completed: Card = stage(config, run_dir)[-1]
    expected = toy.card(item)
    assert completed.key == expected.key
    assert without_timings(completed.results) == without_timings(expected.results)
    assert completed.outputs.keys() == expected.outputs.keys()
    for output in expected.outputs:
        if Path(output).suffix in {".safetensors", ".tflite", ".i16", ".flac", ".md"}:
            assert completed.outputs[output] == expected.outputs[output], output


def run_until_killed(root: Path, moment: Moment, lists: Path) -> None:
    """`python -m pipeline.run`, in this process, until the moment comes."""
    seen = itertools.count(1)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        hit = event == moment.event and moment.path in str(arguments[0])
        if hit and next(seen) == moment.count:
            os.kill(os.getpid(), signal.SIGKILL)

    use_little_data(pytest.MonkeyPatch(), lists)
    sys.argv = ["pipeline.run", "--config", str(TOY), "--run-dir", str(root)]
    sys.addaudithook(watch)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        pipeline_run.main()


def test_the_tflite_model_needs_nothing_else(toy: RunDir) -> None:
    """Any TFLite user can open it: one hop, integers in and out, state by name."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(toy.tflite("weight80-int8")))
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
    shipped.save(config, toy, tmp_path / "models", dense="start")
    for name in ("start", config.compress.variants[0].name):
        card = json.loads((tmp_path / "models" / f"{name}.card.json").read_text())
        assert card["data"]["source"] == config.data.source
        assert {part["part"] for part in card["data"]["parts"]} == {"train", "valid", "test"}
    run_dir = RunDir(tmp_path / "run")
    shutil.copytree(toy.path("prepare"), run_dir.path("prepare"), copy_function=os.link)
    shipped.restore(config, run_dir, tmp_path / "models", dense="start")
    convert.run(config, run_dir)
    for variant in config.compress.variants:
        again, saved = run_dir.tflite(variant.name), tmp_path / "models"
        assert again.read_bytes() == (saved / f"{variant.name}.tflite").read_bytes()
        stored = load_file(saved / f"{variant.name}.safetensors")
        kernels = [array.dtype for name, array in stored.items() if name.endswith("/kernel")]
        assert kernels and set(kernels) == {np.dtype(np.int8)}
    for damaged in ("{", "{}", "[]"):
        (tmp_path / "models" / "dense-int8.card.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"dense-int8\.card\.json: not a model card"):
            shipped.restore(config, run_dir, tmp_path / "models", dense="start")


def test_cards_are_plain_json(toy: RunDir) -> None:
    for item in ITEMS:
        card = json.loads((toy.path(item) / "card.json").read_text())
        assert card["item"] == item
        assert {"tensorflow", "ethos-u-vela", "python"} <= card["versions"].keys()

"""Models of the optimization toolkit through the stages: a user's own, and our networks."""

import json
import sys
from pathlib import Path

import pytest

from pipeline.artefacts import RunDir
from pipeline.config import Compress, Config, ConfigError, Mixing, Study, Train, Variant, load
from pipeline.corpora import prepared
from pipeline.corpora.augment import Extras
from pipeline.networks.convnet import ConvNet
from pipeline.producers.settings import Prune, Quantize
from pipeline.stages import compile as compile_stage
from pipeline.stages import compress, convert, evaluate, prepare, train
from pipeline.study.points import Bench
from pipeline.tools import run as pipeline_run

EXAMPLES = Path("docs/examples")
SHORT = """
[model]
network = "tfmot"
problem = "keyword_spotter:problem"
[compress]
variants = [{ name = "kws", toolkit = [{ do = "prune", sparsity = 0.5 }, { do = "quantize" }] }]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(EXAMPLES.resolve()))
    path = tmp_path / "kws.toml"
    path.write_text(SHORT, encoding="utf-8-sig")  # with a byte-order mark, as some editors write it
    return path


def run(monkeypatch: pytest.MonkeyPatch, config: Path, folder: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "--config", str(config), "--run-dir", str(folder)])
    pipeline_run.main()


def test_a_problem_goes_from_keras_to_the_report(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, config, tmp_path / "run")
    made = RunDir(tmp_path / "run")
    stages = {path.name for path in made.root.iterdir() if path.is_dir()}
    assert stages == {"compress", "convert", "compile", "estimate", "on_target", "report"}
    steps = made.card("compress/kws").results["steps"]
    assert [step["do"] for step in steps] == ["prune", "quantize"]
    assert steps[-1]["zeros"] > 0.4
    assert made.card("convert/kws").results["tflite_vs_tflm"]["mismatching"] == 0
    card = json.loads(made.tflite("kws").with_suffix(".card.json").read_text())
    assert (card["producer"], card["front_end"]) == ("tfmot", None)
    assert [tensor["name"] for tensor in card["interface"]["inputs"]] == ["features"]
    page = (made.path("report") / "report.html").read_text()
    assert "kws after each step" in page and 'src="http' not in page
    assert "Total cycles (emulator)" in (made.path("report") / "results.md").read_text()
    before = made.card("report")
    run(monkeypatch, config, made.root)
    assert made.card("report") == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.5", "1.5"), r"toolkit\.0\.prune\.sparsity"),
        (('do = "prune"', 'do = "shrink"'), r"toolkit\.0"),
        ((', { do = "quantize" }', ""), "expected exactly one quantize, at the end"),
        (('name = "kws", ', 'name = "kws", steps = 3, '), "does not use steps"),
        (("[compress]", "[train]\nsteps = 900\n[compress]"), r"does not use \[train\]"),
        ((", toolkit = [", ", methods = ["), "Field required|do"),
    ],
)
def test_settings_without_effect_are_refused(
    config: Path, change: tuple[str, str], message: str
) -> None:
    config.write_text(SHORT.replace(*change))
    with pytest.raises(ConfigError, match=message):
        load(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("keyword_spotter:problem", "no_such_module:problem"), "no such module"),
        (("keyword_spotter:problem", "keyword_spotter.py"), "expected module:function"),
        (("keyword_spotter:problem", "keyword_spotter:nothing"), "has no attribute 'nothing'"),
    ],
)
def test_a_problem_that_is_not_there_is_one_line(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str],
    message: str,
) -> None:
    config.write_text(SHORT.replace(*change))
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, config, tmp_path / "run")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said.splitlines()[-1] and "Traceback" not in said
    assert not (tmp_path / "run" / "compress" / "kws").exists()


def test_a_stage_about_speech_is_refused(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evaluate has nothing to do for network = 'tfmot'"):
        evaluate.run(load(config), RunDir(tmp_path))


@pytest.mark.parametrize("example", ["keyword_spotter", "conv_enhancer"])
def test_a_documented_configuration_is_valid(example: str) -> None:
    (variant,) = load(EXAMPLES / f"{example}.toml").compress.variants
    assert variant.toolkit[-1].do == "quantize"


def test_the_toolkit_makes_a_point_of_our_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (Prune(sparsity=0.5), Quantize())
    settings = Config(
        mixing=Mixing(crop_s=0.5),
        model=ConvNet(
            network="convnet", bands=16, outer_channels=4, channels=4, blocks=1, dilations=(1,)
        ),
        train=Train(steps=2, batch_size=2, validate_every=2, warmup_steps=1),
        compress=Compress(
            variants=(Variant(name="ours"), Variant(name="tfmot50", toolkit=steps)),
            steps=2,
            validate_every=2,
            prune_every=1,
        ),
        study=Study.model_validate({"deployments": ({"accelerator": "ethos-u55-128"},)}),
    )
    little = Extras(1, 1, babble_minutes=0.1, procedural_minutes=0.1)
    monkeypatch.setattr(prepared, "extras_for", lambda speech_duration_s: little)
    made = RunDir(tmp_path)
    prepare.run(settings, made)
    train.run(settings, made)
    monkeypatch.setattr("pipeline.corpora.prepared.Corpus.mixtures", few(prepared.Corpus.mixtures))
    model = compress.by_toolkit.models(settings)[0]
    assert [m.name for m in compress.run.models(settings)] == ["ours"]
    bench = Bench(settings, made, "test")
    for need in (("compress", model), ("convert", model), bench.reference_need, bench.need(model)):
        bench.make(need)
    point = bench.point("tfmot50")
    assert point.mismatching == 0 and point.zero_weights >= 0.49
    assert point.chain[0].toolkit == steps and point.structure == "toolkit"
    assert [record["step"] for record in made.card("compress/tfmot50").results["history"]] == [2, 4]
    for stage in (compile_stage.run, evaluate.run):
        stage.make(settings, made, model)
    assert list(made.card("evaluate/tfmot50").results["systems"]) == ["tfmot50"]
    assert convert.run.is_finished(settings, made, model)


def few(mixtures):
    """The first two mixtures of a split."""
    return lambda corpus, split: list(mixtures(corpus, split))[:2]

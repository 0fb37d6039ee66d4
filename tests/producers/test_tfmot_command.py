"""The documented example, shortened, from Keras to the NPU."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.ethosu import Emulator, load_vela_model, vela
from pipeline.ethosu.golden import MicroGolden
from pipeline.producers.tfmot import Prune, Quantize, Train, produce
from pipeline.tools.tfmot import Project, main

EXAMPLES = Path("docs/examples")
SHORT = """
name = "kws"
problem = "keyword_spotter:problem"
[[steps]]
do = "prune"
sparsity = 0.5
[[steps]]
do = "quantize"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(EXAMPLES.resolve()))
    path = tmp_path / "kws.toml"
    path.write_text(SHORT, encoding="utf-8-sig")  # with a byte-order mark, as some editors write it
    return path


def test_example_comes_out_sparse_and_equal_on_the_npu(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--config", str(config), "--out", str(tmp_path / "o"), "--json"])
    card = json.loads(capsys.readouterr().out)
    assert [step["step"] for step in card["steps"]] == ["prune", "quantize"]
    assert card["steps"][-1]["zeros"] > 0.4
    model = tmp_path / "o" / "kws.tflite"
    assert json.loads(model.with_suffix(".card.json").read_text()) == card
    compiled = vela.compile(model, tmp_path / "v")
    emulator, golden = Emulator(load_vela_model(compiled.path)), MicroGolden(model.read_bytes())
    (given,) = emulator.model.inputs
    rng = np.random.default_rng(0)
    for _ in range(3):
        features = {given.name: rng.integers(-128, 128, given.shape).astype(np.int8)}
        (answer,) = emulator.invoke(features).values()
        (expected,) = golden.invoke(features).values()
        np.testing.assert_array_equal(answer.ravel(), expected.ravel())


@pytest.mark.parametrize(
    ("example", "steps"),
    [
        ("keyword_spotter", ["train", "prune", "cluster", "quantize"]),
        ("conv_enhancer", ["train", "prune", "quantize"]),
    ],
)
def test_a_documented_configuration_is_valid(example: str, steps: list[str]) -> None:
    project = Project.load(EXAMPLES / f"{example}.toml")
    assert [step.do for step in project.steps] == steps


def test_the_example_of_an_enhancer_learns_and_runs_on_the_npu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES.resolve()))
    import conv_enhancer

    problem = conv_enhancer.problem(count=32)
    steps = (Train(learning_rate=2e-3, epochs=3), Prune(sparsity=0.5), Quantize())
    produced = produce(problem, steps, 1, lambda report: None)
    masks = np.concatenate([mask for _, mask in problem.valid])
    assert produced.reports[-1].scores["loss"] < np.mean(np.square(masks - masks.mean()))
    assert produced.reports[-1].zeros > 0.45
    path = tmp_path / "conv.tflite"
    path.write_bytes(produced.tflite)
    assert vela.compile(path, tmp_path / "v").cpu_operators == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.5", "1.5"), "steps.0.prune.sparsity"),
        (('do = "prune"', 'do = "shrink"'), "steps.0"),
        (("keyword_spotter:problem", "keyword_spotter:nothing"), "has no attribute 'nothing'"),
        (("[[steps]]", "[steps"), "cannot be read as TOML"),
    ],
)
def test_mistakes_are_one_line(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
) -> None:
    config.write_text(SHORT.replace(*change))
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(config), "--out", str(tmp_path / "o")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said and said.strip().count("\n") == 0
    assert not (tmp_path / "o").exists()

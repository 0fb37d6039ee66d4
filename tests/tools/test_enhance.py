"""The command that enhances a person's own recordings."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.deployed import Deployed
from pipeline.dsp import enhance
from pipeline.runners import HopStream
from pipeline.runners.tflite import TfliteRunner
from pipeline.tools.enhance import main

MODEL = "unit57-rank64-weight65"


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    path = tmp_path / "noisy.wav"
    samples = np.random.default_rng(3).normal(scale=0.1, size=16_000)
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    return path


def results_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> list[dict]:
    main([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def expected(noisy: np.ndarray) -> np.ndarray:
    model = Path("tflite_models") / f"{MODEL}.tflite"
    front_end = Deployed.load(model).front_end
    enhanced = enhance(noisy, front_end, HopStream(TfliteRunner(model)).real)
    return np.rint(enhanced * 32768).astype(int)


@pytest.mark.parametrize("through", ["tflite", "tflm", "emulator"])
def test_every_way_through_an_integer_model_gives_its_audio(
    tmp_path: Path, noisy: Path, capsys: pytest.CaptureFixture[str], through: str
) -> None:
    arguments = [str(noisy), "--model", MODEL, "--through", through, "--out", str(tmp_path / "o")]
    (result,) = results_of(capsys, arguments)
    written = soundfile.read(tmp_path / "o" / "noisy.wav", dtype="int16")[0].astype(int)
    reference = expected(soundfile.read(noisy, dtype="float32")[0])
    assert np.abs(written - reference).max() <= 1
    assert np.std(reference) > 10
    assert (result["through"], result["model"]) == (through, MODEL)
    assert result["level_in_dbfs"] == pytest.approx(-20, abs=0.2)
    assert result["real_time_factor"] > 0


def test_channels_are_enhanced_apart_and_several_files_at_once(
    tmp_path: Path, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mono = soundfile.read(noisy)[0]
    soundfile.write(tmp_path / "two.flac", np.stack([mono, 0.25 * mono], 1), 16_000)
    out = tmp_path / "o"
    arguments = [str(noisy), str(tmp_path / "two.flac"), "--model", MODEL, "--out", str(out)]
    assert len(results_of(capsys, arguments)) == 2
    both = soundfile.read(out / "two.wav", dtype="int16")[0]
    np.testing.assert_array_equal(both[:, 0], soundfile.read(out / "noisy.wav", dtype="int16")[0])
    assert (both[:, 0] != both[:, 1]).any()


def test_the_float_network_says_so(
    tmp_path: Path, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = results_of(capsys, [str(noisy), "--model", "dense", "--out", str(tmp_path / "o")])
    assert result["through"] == "float"
    assert result["level_out_dbfs"] < result["level_in_dbfs"]


def test_full_scale_input_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "loud.wav", np.tile([1.0, -1.0, 0.0, 0.0], 2000), 16_000)
    arguments = [str(tmp_path / "loud.wav"), "--model", MODEL, "--out", str(tmp_path / "o")]
    assert results_of(capsys, arguments)[0]["clipped_in"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothere.wav"], "nothere.wav: there is no such file"),
        (["{noisy}", "--model", "nonesuch"], "--model nonesuch: neither a file nor one of"),
        (["{noisy}", "--model", "{noisy}"], "expected a .tflite or .safetensors file"),
        (["{noisy}", "--out", "{folder}"], "would be overwritten"),
        (["{noisy}", "{folder}/b/noisy.wav"], "would both be"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path,
    noisy: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    filled = [a.format(noisy=noisy, folder=tmp_path) for a in arguments]
    with pytest.raises(SystemExit) as ended:
        main([*(["--out", str(tmp_path / "o")] if "--out" not in filled else []), *filled])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "o").exists()

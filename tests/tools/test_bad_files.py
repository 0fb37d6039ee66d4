"""Every command that is given a file it cannot use says so in one line and exits with 2."""

from pathlib import Path

import pytest

from pipeline.__main__ import commands, main

GIVEN, OTHER = "{given}", "{other}"
SHIPPED = "tflite_models/unit48-rank64-weight65.tflite"
ABOUT_A_RUN = (
    *("prepare", "train", "compress", "convert", "compile", "evaluate", "estimate", "on_target"),
    *("report", "run", "sweep", "ablation", "lowering_report", "pretrain"),
    *("training.benchmark", "training.peak_memory"),
)
CASES = (
    *((command, "--config", GIVEN) for command in ABOUT_A_RUN),
    ("report", "--study", GIVEN),
    ("report", "--networks", GIVEN),
    ("shipped", "save", "--config", GIVEN),
    ("shipped", "restore", "--config", GIVEN),
    ("ablation", "--config", "configs/toy.toml", "--run-dir", GIVEN),
    ("lowering_report", "--config", "configs/toy.toml", "--run-dir", GIVEN),
    ("training.benchmark", "--config", "configs/toy.toml", "--run-dir", GIVEN),
    ("emulate", GIVEN),
    ("cycles", GIVEN),
    ("check", GIVEN),
    ("check", SHIPPED, "--vela-config", GIVEN),
    ("package", GIVEN, "--out", OTHER),
    ("patches", GIVEN),
    ("enhance", GIVEN, "--out", OTHER),
    ("conditions", "--model", SHIPPED, "--corpus", GIVEN),
    (
        *("metrics.peers", "--model", GIVEN, "--corpus", OTHER, "--mixtures", OTHER),
        *("--cache", OTHER, "--output", OTHER),
    ),
    ("boards.infer", "--model", GIVEN),
    ("boards.infer", "--model", SHIPPED, "--inputs", GIVEN),
    ("boards.demo", "--noisy", GIVEN, "--out", OTHER),
    ("boards.demo", "--model", SHIPPED, "--firmware", GIVEN, "--out", OTHER),
    ("boards.engines", "--model", GIVEN),
    ("boards.results", "--model", SHIPPED, "--firmware", GIVEN, "--journal", OTHER),
    ("boards.arm_check", "--models", GIVEN),
    # Only as garbage: a missing folder is made, and packages are downloaded to it.
    ("corpora.embedded_build", GIVEN),
)


def test_every_command_is_tried() -> None:
    assert {command for command, *_ in CASES} == commands().keys()


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "garbage"])
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_file_that_cannot_be_used_is_named(
    case: tuple[str, ...],
    is_there: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    if is_there or case[0] == "corpora.embedded_build":
        given.write_bytes(b"\x00\xffgarbage\n" * 100)
    places = {GIVEN: str(given), OTHER: str(other)}
    monkeypatch.setattr("sys.argv", ["pipeline", *(places.get(word, word) for word in case)])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 2
    (line,) = said.err.splitlines()
    assert line.startswith("error: ") and str(given) in line
    assert said.out == ""
    assert not other.is_file()


@pytest.mark.parametrize("arguments", [[], ["sav"], ["--config", "configs/toy.toml"]])
def test_shipped_needs_to_know_what_to_do(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["pipeline", "shipped", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "{save,restore}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["emulate", "check"])
@pytest.mark.parametrize(("option", "value"), [("--seed", "-1"), ("--inferences", "x")])
def test_numbers_that_are_none_are_named(
    command: str,
    option: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["pipeline", command, SHIPPED, option, value])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert f"{option}: {value}: expected a whole number, at least" in capsys.readouterr().err


@pytest.mark.parametrize(
    "case",
    [
        ("check", SHIPPED, "--html"),
        ("emulate", SHIPPED, "--output"),
        ("emulate", SHIPPED, "--trace"),
        ("boards.infer", "--model", SHIPPED, "--outputs"),
        ("metrics.peers", "--corpus", ".", "--mixtures", ".", "--cache", ".", "--output"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("where", "said"), [("none/file", "make it first"), (".", "a folder")])
def test_what_cannot_be_written_is_named_before_the_work(
    case: tuple[str, ...],
    where: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / where
    monkeypatch.setattr("sys.argv", ["pipeline", *case, str(path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert f"{case[-1]}: {path}: " in error and said in error
    assert not path.is_file()

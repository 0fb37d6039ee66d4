"""A deployed model is a file and its card, and says so where they do not fit."""

import json
from pathlib import Path

import pytest

from pipeline.deployed import Card, Deployed, FrontEndRecord, card_path
from pipeline.runners import TargetError

SHIPPED = Path("tflite_models/weight80.tflite")


@pytest.fixture(scope="module")
def content() -> bytes:
    return SHIPPED.read_bytes()


def test_what_is_written_is_read(tmp_path: Path, content: bytes) -> None:
    front_end = FrontEndRecord(mean=(0.0, 1.0), deviation=(1.0, 2.0), conditioned=True)
    card = Card(producer="lowering", front_end=front_end, memory_mode="Sram_Only")
    written = Deployed.write(tmp_path / "m.tflite", content, card, {"seed": 3})
    read = Deployed.load(tmp_path / "m.tflite")
    assert read == written and read.name == "m" and not read.is_compiled
    assert read.interface.inputs[0].name == "features"
    assert read.card.interface == read.interface
    assert read.front_end.deviation.tolist() == [1.0, 2.0] and read.front_end.conditioned
    assert json.loads(card_path(read.tflite).read_text())["seed"] == 3


def test_without_a_card_nothing_is_known_but_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    model = Deployed.load(path)
    assert model.card == Card()
    with pytest.raises(TargetError, match=r"m\.card\.json: front_end is missing, .*boards\.infer"):
        _ = model.front_end


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        ("{", r"m\.card\.json: the file: Invalid JSON"),
        ('{"front_end": {"mean": [0], "deviation": [0]}}', r"front_end\.deviation\.0: .*greater"),
        ('{"front_end": {"mean": [0], "deviation": [1, 1]}}', "front_end: .*one each of every"),
        ('{"front_end": {"mean": [NaN], "deviation": [1]}}', r"front_end\.mean\.0: .*finite"),
        ('{"memory_mode": "Flash"}', "memory_mode: "),
        ('{"producer": "nobody"}', "producer: "),
    ],
)
def test_a_damaged_card_is_named_with_its_field(
    tmp_path: Path, content: bytes, card: str, problem: str
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    card_path(path).write_text(card)
    with pytest.raises(TargetError, match=problem):
        Deployed.load(path)


def test_the_card_of_another_model_is_refused(tmp_path: Path, content: bytes) -> None:
    Deployed.write(tmp_path / "m.tflite", content, Card())
    other = Path("tflite_models/unit40.tflite")
    (tmp_path / "m.tflite").write_bytes(other.read_bytes())
    with pytest.raises(TargetError, match=r"m\.card\.json: interface: is not that of m\.tflite"):
        Deployed.load(tmp_path / "m.tflite")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none.tflite", "cannot be read"), (Path("README.md"), "not")):
        with pytest.raises(TargetError, match=problem):
            Deployed.load(path)

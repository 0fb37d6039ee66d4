"""The page is whole, needs nothing from outside, and holds exactly what the run measured."""

from __future__ import annotations

import base64
import io
import shutil
import tomllib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from synthetic_run import (
    CLIPS,
    CONFIG,
    MODES,
    NOISE_CLIP,
    SPARSITY,
    all_results,
    by_item,
    write_card,
    write_run,
)

from pipeline.artefacts import ArtefactError, RunDir
from pipeline.config import Config
from pipeline.stages import report

VOID = {"meta", "img", "br", "link", "input", "hr"}
HEARD = ["noisy", "clean", "dense_float", *SPARSITY]


class Page(HTMLParser):
    """Tags in order of appearance; raises on a wrong end tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(run_dir: RunDir) -> str:
    report.run(CONFIG, run_dir)
    return (run_dir.path("report") / report.PAGE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture
def own_run(run_dir: RunDir, tmp_path: Path) -> RunDir:
    shutil.copytree(run_dir.root, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    return RunDir(tmp_path / "run")


def decoded(uri: str, media_type: str) -> io.BytesIO:
    head, _, content = uri.partition(",")
    assert head == f"data:{media_type};base64"
    return io.BytesIO(base64.b64decode(content, validate=True))


def test_page_reaches_for_nothing_outside(page: Page, text: str) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "poster", "action"):
            assert attributes.get(name, "#").startswith(("data:", "#")), (tag, name)
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


def test_identifiers_are_unique_and_references_resolve(page: Page, text: str) -> None:
    identifiers = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert set(identifiers.values()) == {1}
    used = {part.partition(")")[0] for part in text.split("url(#")[1:]}
    links = (a.get("href", a.get("xlink:href", "")) for _, a in page.tags)
    used |= {link[1:] for link in links if link.startswith("#")}
    assert used - {""} <= identifiers.keys()


def test_every_picture_and_player_has_words(page: Page) -> None:
    assert all(len(image["alt"]) > 10 for image in page.all("img"))
    assert all(len(audio["aria-label"]) > 10 for audio in page.all("audio"))
    charts = page.all("svg")
    assert len(charts) == 2 + 4 + len(SPARSITY)
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_sound_is_the_evaluated_sound_bit_for_bit(page: Page, run_dir: RunDir) -> None:
    players = page.all("audio")
    assert len(players) == len(CLIPS) * len(HEARD)
    files = [
        run_dir.audio(name if name in SPARSITY else "dense") / clip / f"{name}.flac"
        for clip in CLIPS
        for name in HEARD
    ]
    for player, file in zip(players, files, strict=True):
        heard, rate_hz = soundfile.read(decoded(player["src"], "audio/flac"), dtype="int16")
        expected, _ = soundfile.read(file, dtype="int16")
        assert rate_hz == 16_000
        np.testing.assert_array_equal(heard, expected)


def test_pictures_decode(page: Page) -> None:
    for image in page.all("img"):
        Image.open(decoded(image["src"], "image/png")).verify()


def test_names_from_outside_are_escaped(page: Page, text: str) -> None:
    assert NOISE_CLIP not in text
    assert f"{NOISE_CLIP} (synthetic, licence: CC0)" in page.words


def test_configuration_on_the_page_makes_the_same_run(page: Page) -> None:
    toml = page.words[page.words.index("seed = ") :]
    settings = Config.model_validate(tomllib.loads(toml[: toml.index("//")]))
    assert settings == CONFIG


def test_headline_is_the_smallest_model(page: Page) -> None:
    flash = all_results()["compile"]["weight95"][MODES[0]]["flash"]["total"]
    assert f"{flash / 1000:.0f}\N{NO-BREAK SPACE}kB" in page.words
    assert "\N{MINUS SIGN}1.00 dB SI-SDR against the original" in page.words


def test_tables_are_written_beside_the_page(run_dir: RunDir, text: str) -> None:
    markdown = (run_dir.path("report") / report.TABLES).read_text(encoding="utf-8")
    assert markdown.count("\n| --- |") == 4
    assert "| weight95, int8 | 9.50 |" in markdown


def test_same_run_gives_the_same_bytes(own_run: RunDir, text: str) -> None:
    report.run(CONFIG, own_run)
    assert (own_run.path("report") / report.PAGE).read_text(encoding="utf-8") == text


def test_ready_made_recordings_and_no_peers(own_run: RunDir) -> None:
    """Pairs have no recipes, and names with folders; peers are optional."""
    (own_run.path("prepare") / "corpus" / "test" / "mixtures.json").unlink()
    for item in ("dense", *SPARSITY):
        audio = own_run.audio(item)
        (audio / "p232").mkdir()
        (audio / CLIPS[0]).rename(audio / "p232" / "p232_001.wav")
    write_card(own_run, "evaluate/dense", by_item(all_results(peers=()))["evaluate/dense"])
    report.run(CONFIG, own_run)
    page = Page((own_run.path("report") / report.PAGE).read_text(encoding="utf-8"))
    assert "p232/p232_001.wav" in page.words
    assert "rnnoise" not in page.words
    assert len(page.all("audio")) == len(CLIPS) * len(HEARD)


def test_damaged_sound_is_named(own_run: RunDir) -> None:
    file = own_run.audio("weight80") / CLIPS[1] / "weight80.flac"
    file.write_bytes(b"not a sound")
    with pytest.raises(ArtefactError, match=r"test-001/weight80\.flac: cannot be read"):
        report.run(CONFIG, own_run)
    soundfile.write(file, np.zeros(800), 8_000)
    with pytest.raises(ArtefactError, match=r"8000 Hz.*expected mono at 16000 Hz"):
        report.run(CONFIG, own_run)
    assert not own_run.path("report").exists()

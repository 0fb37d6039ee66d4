"""Fixed mixtures: rebuilt exactly, at the listed SNR, or refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.audio import active_level_dbfs, active_power
from pipeline.corpora.store import AUDIO_NAME, Store
from pipeline.corpora.testset import (
    LISTS_DIR,
    MixtureList,
    MixtureListError,
    draw_list,
    load_mixtures,
    read_list,
    write_list,
)

Stores = tuple[Store, Store]


@pytest.fixture
def stores(make_store: Callable[..., Store]) -> Stores:
    return make_store("speech"), make_store("noise", kind="voice", count=6)


@pytest.fixture
def drawn(stores: Stores) -> MixtureList:
    return draw_list(
        *stores, prefix="t", snrs_db=(-6, 9), kinds=["babble"] * 3, samples=32_000, seed=4
    )


@pytest.fixture
def list_path(drawn: MixtureList, tmp_path: Path) -> Path:
    write_list(drawn, tmp_path / "list.json")
    return tmp_path / "list.json"


def test_lists_survive_the_file(drawn: MixtureList, list_path: Path) -> None:
    assert read_list(list_path) == drawn


def test_mixtures_keep_their_promises(stores: Stores, list_path: Path) -> None:
    mixtures = list(load_mixtures(list_path, *stores))
    assert [m.name for m in mixtures] == [f"t-{n:03d}" for n in range(6)]
    assert [m.snr_db for m in mixtures] == [-6] * 3 + [9] * 3
    for mixture in mixtures:
        noise = (mixture.noisy - mixture.clean).astype(float)
        measured = 10 * np.log10(active_power(mixture.clean) / np.mean(noise**2))
        assert measured == pytest.approx(mixture.snr_db, abs=0.01)
        peak = np.abs(mixture.noisy).max()
        assert peak <= 0.95001
        if peak < 0.949:
            assert active_level_dbfs(mixture.clean) == pytest.approx(-26, abs=0.01)
        assert mixture.noise_kind == "babble"
        assert mixture.noisy.dtype == mixture.clean.dtype == np.float32


def test_loud_mixtures_are_limited_on_both_sides(stores: Stores, tmp_path: Path) -> None:
    drawn = draw_list(*stores, prefix="t", snrs_db=(-25,), kinds=["babble"], samples=32_000, seed=4)
    write_list(drawn, tmp_path / "loud.json")
    (mixture,) = load_mixtures(tmp_path / "loud.json", *stores)
    assert np.abs(mixture.noisy).max() == pytest.approx(0.95, abs=1e-6)
    noise = (mixture.noisy - mixture.clean).astype(float)
    ratio = active_power(mixture.clean) / np.mean(noise**2)
    assert 10 * np.log10(ratio) == pytest.approx(-25, abs=0.01)


def test_rebuilding_is_bit_identical(stores: Stores, list_path: Path) -> None:
    reopened = (Store(stores[0].folder), Store(stores[1].folder))
    for one, other in zip(
        load_mixtures(list_path, *stores), load_mixtures(list_path, *reopened), strict=True
    ):
        np.testing.assert_array_equal(one.noisy, other.noisy)
        np.testing.assert_array_equal(one.clean, other.clean)


def test_other_audio_under_the_same_name_is_refused(stores: Stores, list_path: Path) -> None:
    with (stores[0].folder / AUDIO_NAME).open("r+b") as file:
        file.write(b"\x01\x02\x03\x04")
    with pytest.raises(MixtureListError, match=r"has other samples than the list was made for"):
        list(load_mixtures(list_path, Store(stores[0].folder), stores[1]))


def test_a_missing_clip_is_named(
    stores: Stores, list_path: Path, make_store: Callable[..., Store]
) -> None:
    with pytest.raises(MixtureListError, match=r"clip 'noise-voice/\d' is not in .*prepare the"):
        list(load_mixtures(list_path, stores[0], make_store("noise")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "expected format 1 at 16000 Hz"),
        ({"mixtures": [{"name": "x"}]}, "not a mixture list"),
        ({"samples": "many"}, "not a mixture list"),
        ({"format": 0}, "list.json: expected format"),
        ({"samples": 1000}, "a piece lies outside the mixture"),
    ],
)
def test_malformed_lists_are_refused(
    list_path: Path, change: dict[str, object], message: str
) -> None:
    data = json.loads(list_path.read_text())
    list_path.write_text(json.dumps(data | change))
    with pytest.raises(MixtureListError, match=message):
        read_list(list_path)


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MixtureListError, match="there is no such mixture list"):
        read_list(tmp_path / "none.json")
    for content in (b"hello", b"\xff\x00", b"[]"):
        (tmp_path / "text.json").write_bytes(content)
        with pytest.raises(MixtureListError, match="text.json: not a mixture list"):
            read_list(tmp_path / "text.json")


@pytest.mark.parametrize(
    ("name", "snrs_db", "per_snr"),
    [
        ("debian_test", (-6, -3, 0, 3, 6, 9), 20),
        ("debian_valid", (-5, 0, 5, 10), 40),
        ("embedded_test", (-6, -3, 0, 3, 6, 9), 4),
        ("embedded_valid", (-5, 0, 5, 10), 6),
    ],
)
def test_published_lists(name: str, snrs_db: tuple[int, ...], per_snr: int) -> None:
    published = read_list(LISTS_DIR / f"{name}.json")
    assert published.samples == 64_000
    assert [recipe.snr_db for recipe in published.recipes] == [
        snr for snr in snrs_db for _ in range(per_snr)
    ]

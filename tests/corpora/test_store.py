"""The packed store: order, levels, bad files, damage, memory."""

import json
import resource
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.corpora.mixing import Mixer
from pipeline.corpora.store import (
    AUDIO_NAME,
    INDEX_NAME,
    Clip,
    Store,
    StoredClip,
    StoreError,
    StoreWriter,
    build_store,
)

LABELS: dict[str, Any] = {"source": "s", "speaker": "t", "licence": "none", "kind": "speech"}


def clip(path: Path, role: str = "speech") -> Clip:
    return Clip(path, path.name, "s", "t", "none", role, role, "train")


def test_clips_come_back_in_order_within_half_a_step(
    record: Callable[..., Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    originals = [0.2 * rng.standard_normal(8000 + n) for n in range(10)]
    paths = [record(f"{n}.wav", samples, subtype="FLOAT") for n, samples in enumerate(originals)]
    done: list[int] = []
    build_store([clip(p) for p in paths], tmp_path / "store", progress=done.append)
    store = Store(tmp_path / "store")
    assert done == list(range(1, 11))
    assert [c.name for c in store.clips] == [p.name for p in paths]
    for stored, original in zip(store.clips, originals, strict=True):
        expected = original * min(1, 1 / np.abs(original).max())
        np.testing.assert_allclose(store.read_clip(stored), expected, atol=3.1e-5, rtol=0)
        assert stored.level_dbfs == pytest.approx(-14, abs=1.5)


def test_each_bad_file_is_named_and_left_out(record: Callable[..., Path], tmp_path: Path) -> None:
    good = record("good.wav")
    silent = record("silent.wav", np.zeros(16_000))
    low = record("low.wav", rate_hz=8000)
    text = tmp_path / "text.ogg"
    text.write_text("hello")
    click = np.zeros(16_000)
    click[8000:8100] = 0.5
    short = record("click.wav", click)
    paths = [silent, good, low, text, short]
    summary = build_store([clip(p) for p in paths], tmp_path / "store")
    assert summary.clips == 1
    assert summary.duration_s == pytest.approx(1.0)
    lines = [str(error) for error in summary.left_out]
    assert len(lines) == 4
    assert lines[0].startswith(f"{silent}: silent: active level -200 dBFS")
    assert lines[1].startswith(f"{low}: recorded at 8000 Hz")
    assert lines[2].startswith(f"{text}: not readable as audio")
    assert lines[3] == f"{short}: too short: 0.22 s of sound; at least 0.3 s is needed"
    assert all("\n" not in line for line in lines)


def test_a_failed_build_leaves_the_old_store(record: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "store"
    build_store([clip(record("good.wav"))], folder)
    before = (folder / AUDIO_NAME).read_bytes()
    with pytest.raises(StoreError, match=r"no usable audio file among 1\n.*silent"):
        build_store([clip(record("bad.wav", np.zeros(16_000)))], folder)
    assert (folder / AUDIO_NAME).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["store"]


def test_an_interrupted_build_leaves_no_store(record: Callable[..., Path], tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "store")
    writer.append(np.full(8000, 0.1), name="a", **LABELS)
    assert not (tmp_path / "store").exists()
    build_store([clip(record("good.wav"))], tmp_path / "store")
    assert len(Store(tmp_path / "store").clips) == 1


def test_samples_over_full_scale_are_scaled_not_wrapped(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "store")
    writer.append(3 * np.sin(np.arange(8000) / 5), name="loud", **LABELS)
    writer.close()
    store = Store(tmp_path / "store")
    samples = store.read_clip(store.clips[0])
    np.testing.assert_allclose(samples, np.sin(np.arange(8000) / 5), atol=1e-4)


def test_damage_is_explained(make_store: Callable[..., Store], tmp_path: Path) -> None:
    folder = make_store("speech").folder
    with pytest.raises(StoreError, match=r"holds no audio store .* prepare the corpus first"):
        Store(tmp_path / "nowhere")
    opened = Store(folder)
    audio, index = folder / AUDIO_NAME, folder / INDEX_NAME
    good = index.read_text()
    with audio.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(StoreError, match="index names 128000 samples, audio holds 500; delete"):
        Store(folder)
    with pytest.raises(StoreError, match="audio ends before sample 2000; delete the folder"):
        opened.read(0, 2000)
    for text, message in (
        ("{", "index is not JSON"),
        ('{"format": 99}', "index is not of format 1"),
        (good.replace('"kind"', '"sort"', 1), "index entry is wrong"),
    ):
        index.write_text(text)
        with pytest.raises(StoreError, match=message):
            Store(folder)


def test_a_store_larger_than_memory_streams(
    make_store: Callable[..., Store], tmp_path: Path
) -> None:
    folder = tmp_path / "huge"
    folder.mkdir()
    hour = 3600 * 16_000
    clips = [
        asdict(StoredClip(f"{n}", "s", f"t{n % 7}", "none", "speech", n * hour, hour, -26.0, 1.0))
        for n in range(1000)
    ]
    (folder / INDEX_NAME).write_text(json.dumps({"format": 1, "clips": clips}))
    with (folder / AUDIO_NAME).open("wb") as file:
        file.truncate(1000 * hour * 2)  # 115 GB on paper, nothing on disk
    noise = make_store("noise")
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mixer = Mixer(Store(folder), noise, crop_samples=48_000, seed=1)
    for step in range(5):
        assert mixer.batch(step, 16)[0].shape == (16, 48_000)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 100 * 1024

"""From recordings to a corpus a training run opens, whatever they were."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.audio import active_power
from pipeline.corpora.augment import Extras
from pipeline.corpora.paired import PairedMixer
from pipeline.corpora.prepared import Corpus, extras_for, open_split, prepare
from pipeline.corpora.sources import clips_of
from pipeline.corpora.store import AUDIO_NAME, Store, StoreError

TINY = Extras(speech_speed_copies=1, noise_speed_copies=1, procedural_minutes=0.2)
SPLITS = ("train", "valid", "test")


@pytest.fixture
def folders(record: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    for number, split in enumerate(SPLITS):
        for speaker in range(2):
            seed = 10 * number + speaker
            record(f"clean/{split}/s{seed}/a.wav", seconds=2.5, seed=seed)
            record(f"noise/{split}/n{seed}.flac", seconds=1.5, seed=seed, rate_hz=44_100)
    return tmp_path / "clean", tmp_path / "noise"


@pytest.fixture
def pairs(record: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Noisy = clean + quieter noise, so alignment shows in the difference."""
    rng = np.random.default_rng(1)
    for split in SPLITS:
        for number in range(3):
            clean = 0.2 * np.sin(np.arange(80_000) * rng.uniform(0.05, 0.5))
            clean[20_000:30_000] = 0
            name = f"{split}/p{number}_{split}.wav"
            record(f"clean/{name}", clean)
            record(f"noisy/{name}", clean + 0.02 * rng.standard_normal(80_000))
    return tmp_path / "clean", tmp_path / "noisy"


def test_folders_become_a_corpus(folders: tuple[Path, Path], tmp_path: Path) -> None:
    clean_dir, noise_dir = folders
    (clean_dir / "train" / "s0" / "broken.wav").write_text("not audio")
    steps: list[tuple[str, int, int]] = []
    summaries = prepare(
        clips_of("folders", clean_dir=clean_dir, noise_dir=noise_dir),
        tmp_path / "corpus",
        extras=TINY,
        progress=lambda *step: steps.append(step),
    )
    assert [(s.split, s.role) for s in summaries] == [
        (split, role) for split in SPLITS for role in ("speech", "noise")
    ]
    assert summaries[0].recorded.clips == 2
    assert summaries[0].rendered.clips == 4
    assert ("decode train speech", 3, 3) in steps
    assert steps[-1] == ("decode test noise", 2, 2)
    assert len(summaries[0].recorded.skipped) == 1
    assert open_split(tmp_path / "corpus", "train")[0].skipped == summaries[0].recorded.skipped
    corpus = Corpus(tmp_path / "corpus")
    noisy, clean = corpus.mixer(crop_samples=16_000, seed=1).batch(0, 4)
    assert noisy.shape == clean.shape == (4, 16_000)
    valid, test = list(corpus.mixtures("valid")), list(corpus.mixtures("test"))
    assert len(valid) == 64
    assert len(test) == 120
    noise = test[0].noisy - test[0].clean
    measured = 10 * np.log10(active_power(test[0].clean) / np.mean(noise**2))
    assert measured == pytest.approx(test[0].snr_db, abs=0.05)
    assert not (tmp_path / "corpus" / "recorded").exists()


def test_preparing_again_gives_the_same_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    clips = clips_of("folders", clean_dir=folders[0], noise_dir=folders[1])
    for name in ("a", "b"):
        prepare(clips, tmp_path / name, extras=TINY, seed=3)
    for one in sorted((tmp_path / "a").rglob("*")):
        if one.is_file():
            other = tmp_path / "b" / one.relative_to(tmp_path / "a")
            assert one.read_bytes() == other.read_bytes(), one.name


def test_pairs_become_aligned_crops(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    clean_dir, noisy_dir = pairs
    clips = clips_of("paired", clean_dir=clean_dir, noisy_dir=noisy_dir)
    summaries = prepare(clips, tmp_path / "corpus")
    assert {(s.split, s.role): s.recorded.clips for s in summaries} == {
        (split, role): 3 for split in SPLITS for role in ("speech", "noisy")
    }
    corpus = Corpus(tmp_path / "corpus")
    mixer = corpus.mixer(crop_samples=96_000, seed=1)
    assert isinstance(mixer, PairedMixer)
    noisy, clean = mixer.batch(0, 8)
    ratio = np.mean((noisy - clean) ** 2, axis=1) / active_power(clean)
    np.testing.assert_allclose(10 * np.log10(ratio), -17, atol=0.5)
    again = Corpus(tmp_path / "corpus").mixer(crop_samples=96_000, seed=1).batch(0, 8)
    np.testing.assert_array_equal(noisy, again[0])
    assert not np.array_equal(noisy, mixer.batch(1, 8)[0])
    mixtures = list(corpus.mixtures("test"))
    assert len(mixtures) == 3
    for mixture in mixtures:
        assert mixture.clean.size == 64_000
        noise = mixture.noisy - mixture.clean
        measured = 10 * np.log10(active_power(mixture.clean) / np.mean(noise**2))
        assert measured == pytest.approx(17, abs=0.5)
        assert mixture.snr_db == 18.0  # the nearest 3 dB


def test_bad_pairs_are_left_out_whole(
    pairs: tuple[Path, Path], record: Callable[..., Path], tmp_path: Path
) -> None:
    clean_dir, noisy_dir = pairs
    long = record("noisy/train/p0_train.wav", seconds=6.0)
    silent = record("clean/train/p1_train.wav", np.zeros(80_000))
    clips = clips_of("paired", clean_dir=clean_dir, noisy_dir=noisy_dir)
    train = prepare(clips, tmp_path / "corpus")[0].recorded
    assert train.clips == 1
    assert train.skipped[0] == (
        f"{long}: lasts 6.00 s, its clean file 5.00 s; pair it with the recording it was made "
        f"from, not {clean_dir / 'train' / 'p0_train.wav'}"
    )
    assert train.skipped[1].startswith(f"{silent}: silent")


def test_stores_that_do_not_belong_together_are_refused(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    clips = clips_of("paired", clean_dir=pairs[0], noisy_dir=pairs[1])
    prepare(clips, tmp_path / "corpus")
    clean = open_split(tmp_path / "corpus", "train", "noisy")[0]
    other = Store(tmp_path / "corpus" / "test" / "noisy")
    with pytest.raises(StoreError, match=r"does not belong to .*; prepare the corpus again"):
        PairedMixer(clean, other, crop_samples=1000, seed=1)


def test_a_split_without_clips_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    clips = clips_of("folders", clean_dir=folders[0], noise_dir=folders[1])
    clips = [clip for clip in clips if (clip.split, clip.role) != ("valid", "noise")]
    with pytest.raises(StoreError, match="no noise clip in split 'valid'; add some"):
        prepare(clips, tmp_path / "corpus", extras=TINY)
    assert not (tmp_path / "corpus").exists()


def test_the_embedded_corpus_gives_its_published_mixtures(tmp_path: Path) -> None:
    summaries = prepare(
        clips_of("embedded"),
        tmp_path / "corpus",
        published="embedded",
        extras=Extras(procedural_minutes=0.2),
    )
    assert [s.recorded.skipped for s in summaries] == [()] * 6
    corpus = Corpus(tmp_path / "corpus")
    assert len(list(corpus.mixtures("test"))) == 24
    assert len(list(corpus.mixtures("valid"))) == 24
    assert (tmp_path / "corpus" / "train" / "speech" / AUDIO_NAME).stat().st_size > 20e6


def test_the_less_speech_the_more_it_is_varied() -> None:
    small, medium, large = (extras_for(hours * 3600) for hours in (0.5, 5, 500))
    assert small.speech_speed_copies > 0
    assert medium.procedural_minutes > small.procedural_minutes
    assert large.speech_speed_copies == 0

"""From recordings to a corpus a training run opens, whatever they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora import embedded, prepared
from pipeline.corpora.audio import active_power
from pipeline.corpora.augment import Extras
from pipeline.corpora.folders import training_material
from pipeline.corpora.listing import FolderError
from pipeline.corpora.material import Material
from pipeline.corpora.paired import PairedMixer
from pipeline.corpora.prepared import Corpus, extras_for, open_split, prepare
from pipeline.corpora.sources import material_of
from pipeline.corpora.store import AUDIO_NAME, Store, StoreError
from pipeline.corpora.testset import MixtureListError, read_list, write_list

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
    made = prepare(
        material_of("folders", clean_dir=clean_dir, noise_dir=noise_dir),
        tmp_path / "corpus",
        extras=TINY,
        progress=lambda *step: steps.append(step),
    )
    assert [(s.part, s.role, s.speakers, s.files) for s in made.parts] == [
        (split, *rest) for split in SPLITS for rest in (("speech", 2, 2), ("noise", None, 2))
    ]
    assert len(open_split(tmp_path / "corpus", "train")[0].clips) == 4
    assert made.parts[0].rendered_min == pytest.approx(2 * made.parts[0].recorded_min, abs=0.05)
    assert ("decode speech", 7, 7) in steps
    assert ("render train noise", 3, 3) in steps
    assert [Path(error.path).name for error in made.left_out] == ["broken.wav"]
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


def test_further_folders_are_trained_with_and_held_out_parts_stay(
    folders: tuple[Path, Path], record: Callable[..., Path], tmp_path: Path
) -> None:
    # Folders whose names say otherwise: what is added is for training all the same.
    for number in range(3):
        record(f"more/test/voice/{number}.wav", seconds=2.5, seed=100 + number)
        record(f"sounds/music/{number}.wav", seconds=2.5, seed=200 + number)
    material = material_of("folders", clean_dir=folders[0], noise_dir=folders[1])
    prepare(material, tmp_path / "plain", extras=TINY)
    for folder, role in ((tmp_path / "more", "speech"), (tmp_path / "sounds", "noise")):
        material = material.with_training(*training_material(folder, role))
    made = prepare(material, tmp_path / "corpus", extras=TINY)
    assert [part.files for part in made.parts] == [5, 5, 2, 2, 2, 2]
    assert made.parts[0].speakers == 3, "a folder is one voice"
    for split in ("valid", "test"):
        names = [
            [clip.name for clip in open_split(tmp_path / corpus, split)[0].clips]
            for corpus in ("plain", "corpus")
        ]
        assert names[0] == names[1]
    noise = open_split(tmp_path / "corpus", "train")[1]
    assert {clip.kind for clip in noise.clips} == {"ambience", "music", "procedural"}
    with pytest.raises(FolderError, match=r"two folders of one name.*rename a folder"):
        material.with_training(*training_material(tmp_path / "more", "speech"))


def test_added_recordings_of_a_held_out_speaker_are_named(
    record: Callable[..., Path], tmp_path: Path
) -> None:
    for number, split in enumerate(SPLITS):
        record(f"clean/{split}/p{225 + number}_001.wav", seed=number)
        record(f"noise/{split}/n{number}.wav", seed=10 + number)
    record("more/p227_002.wav", seed=20)
    material = material_of("folders", clean_dir=tmp_path / "clean", noise_dir=tmp_path / "noise")
    material = material.with_training(*training_material(tmp_path / "more", "speech"))
    assert prepare(material, tmp_path / "corpus", extras=TINY).notes == (
        "1 speaker(s) of what is added to train with are in valid or test too, first p227",
    )


def test_preparing_again_gives_the_same_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    material = material_of("folders", clean_dir=folders[0], noise_dir=folders[1])
    for name in ("a", "b"):
        prepare(material, tmp_path / name, extras=TINY, seed=3)
    for one in sorted((tmp_path / "a").rglob("*")):
        if one.is_file():
            other = tmp_path / "b" / one.relative_to(tmp_path / "a")
            assert one.read_bytes() == other.read_bytes(), one.name


def test_pairs_become_aligned_crops(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    clean_dir, noisy_dir = pairs
    material = material_of("paired", clean_dir=clean_dir, noisy_dir=noisy_dir)
    made = prepare(material, tmp_path / "corpus")
    assert {(s.part, s.role): s.files for s in made.parts} == {
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
        assert mixture.clean.size == 80_000
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
    same = clean_dir / "train" / "p3_train.wav"
    for folder in (clean_dir, noisy_dir):
        (folder / "train" / same.name).write_bytes((clean_dir / "train/p2_train.wav").read_bytes())
    (noisy_dir / "train" / "p2_train_again.wav").write_bytes(
        (noisy_dir / "train" / "p2_train.wav").read_bytes()
    )
    (clean_dir / "train" / "p2_train_again.wav").write_bytes(same.read_bytes())
    material = material_of("paired", clean_dir=clean_dir, noisy_dir=noisy_dir)
    made = prepare(material, tmp_path / "corpus")
    assert made.parts[0].files == 1
    left_out = [str(error) for error in made.left_out]
    assert left_out[0] == (
        f"{long}: lasts 6.00 s, its clean file 5.00 s; pair it with the recording it was made "
        f"from, not {clean_dir / 'train' / 'p0_train.wav'}"
    )
    assert left_out[1].startswith(f"{silent}: silent")
    noisy = noisy_dir / "train" / "p2_train"
    assert left_out[2] == f"{noisy}_again.wav: the same recording as {noisy}.wav; it is used once"
    assert left_out[3] == (
        f"{noisy_dir / 'train' / same.name}: the same recording as its clean file {same}; remove it"
    )
    # The halves that nothing is wrong with are named too, but for a clean file that is used.
    halves = {
        clean_dir / "train" / "p0_train.wav": long,
        noisy_dir / "train" / "p1_train.wav": silent,
        same: noisy_dir / "train" / same.name,
        clean_dir / "train" / "p2_train_again.wav": f"{noisy}_again.wav",
    }
    assert sorted(left_out[4:]) == sorted(
        f"{half}: the other half of its pair, {other}, is left out; see there"
        for half, other in halves.items()
    )


def test_stores_that_do_not_belong_together_are_refused(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    material = material_of("paired", clean_dir=pairs[0], noisy_dir=pairs[1])
    prepare(material, tmp_path / "corpus")
    clean = open_split(tmp_path / "corpus", "train", "noisy")[0]
    other = Store(tmp_path / "corpus" / "test" / "noisy")
    with pytest.raises(StoreError, match=r"does not belong to .*; prepare the corpus again"):
        PairedMixer(clean, other, crop_samples=1000, seed=1)


def test_a_split_without_clips_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    material = material_of("folders", clean_dir=folders[0], noise_dir=folders[1])
    clips = [clip for clip in material.clips if (clip.split, clip.role) != ("valid", "noise")]
    with pytest.raises(StoreError, match="no usable noise in part 'valid'; add some"):
        prepare(Material(tuple(clips)), tmp_path / "corpus", extras=TINY)
    assert not (tmp_path / "corpus" / "train").exists()


def test_the_embedded_corpus_gives_its_published_mixtures(tmp_path: Path) -> None:
    made = prepare(
        material_of("embedded"), tmp_path / "corpus", extras=Extras(procedural_minutes=0.2)
    )
    assert made.left_out == ()
    assert made.notes == ()
    corpus = Corpus(tmp_path / "corpus")
    assert len(list(corpus.mixtures("test"))) == 24
    assert len(list(corpus.mixtures("valid"))) == 24
    assert (tmp_path / "corpus" / "train" / "speech" / AUDIO_NAME).stat().st_size > 20e6


def clicks(count: int, seconds: float, seed: int) -> np.ndarray:
    """Short bursts in digital silence, the first and the last at the ends."""
    samples = np.zeros(round(seconds * 16_000))
    rng = np.random.default_rng(seed)
    for start in np.linspace(0, samples.size - 800, count).astype(int):
        samples[start : start + 800] = 0.2 * rng.standard_normal(800)
    return samples


def test_pieces_without_sound_are_drawn_again(
    record: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MIXTURES_PER_SNR", {"valid": 5, "test": 5})
    for n in range(3):
        speech = 0.1 * np.random.default_rng(n).standard_normal(200_000)
        speech[8_000:-8_000] = 0
        record(f"clean/s{n}/a.wav", speech)
        record(f"noise/door{n}.wav", clicks(2, 30.0, seed=n))
    material = material_of("folders", clean_dir=tmp_path / "clean", noise_dir=tmp_path / "noise")
    prepare(material, tmp_path / "corpus", extras=Extras())
    corpus = Corpus(tmp_path / "corpus")
    for part in ("valid", "test"):
        for mixture in corpus.mixtures(part):
            noise = mixture.noisy - mixture.clean
            measured = 10 * np.log10(active_power(mixture.clean) / np.mean(noise**2))
            assert measured == pytest.approx(mixture.snr_db, abs=0.05)
    noisy, clean = corpus.mixer(crop_samples=16_000, seed=1).batch(0, 32)
    assert np.isfinite(noisy).all()
    assert np.isfinite(clean).all()


def test_whole_pairs_are_scored_and_of_long_ones_the_part_with_speech(
    record: Callable[..., Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    seconds = {"short": 0.5, "medium": 7.3, "long": 25.0}
    for number, (name, length) in enumerate(seconds.items()):
        for part in SPLITS:
            clean = 0.1 * rng.standard_normal(round(16_000 * length))
            clean[: round(0.6 * clean.size)] = 0  # speech comes late
            file = f"{part}/p{number}_{name}_{part}.wav"
            record(f"clean/{file}", clean)
            record(f"noisy/{file}", clean + 0.02 * rng.standard_normal(clean.size))
    material = material_of("paired", clean_dir=tmp_path / "clean", noisy_dir=tmp_path / "noisy")
    made = prepare(material, tmp_path / "corpus")
    said = "3 of 3 pairs are scored, evenly spread, 1 of them cut to the 10 s of most speech"
    assert made.notes[-2:] == (f"valid: {said}", f"test: {said}")
    mixtures = {m.name.split("_")[1]: m for m in Corpus(tmp_path / "corpus").mixtures("valid")}
    assert {name: m.clean.size for name, m in mixtures.items()} == {
        "short": 8_000,
        "medium": 116_800,
        "long": 160_000,
    }
    for mixture in mixtures.values():
        assert mixture.noisy.size == mixture.clean.size
        assert mixture.snr_db == 15  # 14 dB, in steps of 3
    assert np.mean(mixtures["long"].clean != 0) == pytest.approx(1.0, abs=0.01)


def test_how_many_pairs_are_scored_is_said(
    pairs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = material_of("paired", clean_dir=pairs[0], noisy_dir=pairs[1])
    assert not any(
        " pairs are scored, " in note for note in prepare(material, tmp_path / "all").notes
    )
    monkeypatch.setattr(prepared, "MIXTURES_PER_SNR", {"valid": 1, "test": 1})
    monkeypatch.setattr(prepared, "SNRS_DB", {"valid": (0.0, 5.0), "test": (0.0, 5.0)})
    notes = prepare(material, tmp_path / "some").notes
    assert [note.split(",")[0] for note in notes[-2:]] == [
        f"{part}: 2 of 3 pairs are scored" for part in ("valid", "test")
    ]


def test_offsets_of_own_recordings_are_removed(record: Callable[..., Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for n in range(3):
        clean = 0.05 * rng.standard_normal(40_000)
        record(f"clean/s{n}/x.wav", clean + 0.3)
        record(f"noise/n{n}.wav", 0.05 * rng.standard_normal(40_000) - 0.4)
        record(f"noisy/s{n}/x.wav", clean + 0.02 * rng.standard_normal(40_000) + 0.5)
    for source, other in (("folders", "noise"), ("paired", "noisy")):
        folders = {"clean_dir": tmp_path / "clean", f"{other}_dir": tmp_path / other}
        prepare(material_of(source, **folders), tmp_path / source, extras=Extras())
        for store in open_split(tmp_path / source, "valid", other):
            samples = store.read_clip(store.clips[0])
            assert abs(samples.mean()) < 1e-3
            assert samples.std() == pytest.approx(0.05, rel=0.15)


def test_equal_recordings_are_used_once_but_where_folders_say_otherwise(
    record: Callable[..., Path], tmp_path: Path
) -> None:
    for n in range(4):
        record(f"clean/s{n}/a.wav", seed=n)
        record(f"noise/n{n}.flac", seed=10 + n)
    record("clean/s1/copy.flac", seed=1)  # the same name length: the same samples
    (tmp_path / "clean" / "s2" / "b.wav").write_bytes((tmp_path / "clean/s3/a.wav").read_bytes())
    (tmp_path / "noise" / "speech.wav").write_bytes((tmp_path / "clean/s0/a.wav").read_bytes())
    (tmp_path / "noise" / "test").mkdir()
    (tmp_path / "noise" / "test" / "n.flac").write_bytes((tmp_path / "noise/n0.flac").read_bytes())
    material = material_of("folders", clean_dir=tmp_path / "clean", noise_dir=tmp_path / "noise")
    made = prepare(material, tmp_path / "a", extras=Extras())
    found = {
        str(Path(e.path).relative_to(tmp_path)): e.reason.replace(f"{tmp_path}/", "")
        for e in made.left_out
    }
    assert found == {
        "clean/s3/a.wav": "the same recording as clean/s2/b.wav",
        "noise/speech.wav": "the same recording as clean/s0/a.wav",
        "noise/n0.flac": "the same recording as noise/test/n.flac",
    }
    (tmp_path / "noise" / "train").mkdir()
    (tmp_path / "noise" / "train" / "n.flac").write_bytes(
        (tmp_path / "noise" / "n0.flac").read_bytes()
    )
    material = material_of("folders", clean_dir=tmp_path / "clean", noise_dir=tmp_path / "noise")
    made = prepare(material, tmp_path / "b", extras=Extras())
    assert made.notes == (
        f"1 recordings are in two parts, as folders say, first {tmp_path}/noise/test/n.flac and "
        f"{tmp_path}/noise/train/n.flac",
    )


def test_a_published_list_of_other_samples_is_refused_while_preparing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = {clip.name: clip for clip in embedded.clips()}
    first = {(clip.split, clip.role): clip for clip in reversed(clips.values())}
    needed = {first["train", role].name for role in ("speech", "noise")}
    for part in ("valid", "test"):
        published = read_list(prepared.LISTS_DIR / f"embedded_{part}.json")
        recipe = published.recipes[0]
        used = {piece.clip for piece in recipe.speech + recipe.noise}
        other = replace(published, recipes=(recipe,), clip_hashes=dict.fromkeys(used, "0" * 16))
        write_list(other, tmp_path / f"embedded_{part}.json")
        needed |= used
    monkeypatch.setattr(prepared, "LISTS_DIR", tmp_path)
    material = Material(tuple(clips[name] for name in sorted(needed)), published="embedded")
    with pytest.raises(MixtureListError, match="has other samples than the list was made for"):
        prepare(material, tmp_path / "corpus", extras=Extras())


def test_the_less_speech_the_more_it_is_varied() -> None:
    small, medium, large = (extras_for(hours * 3600) for hours in (0.5, 5, 500))
    assert small.speech_speed_copies > 0
    assert medium.procedural_minutes > small.procedural_minutes
    assert large.speech_speed_copies == 0

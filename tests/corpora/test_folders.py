"""Users' folders: layouts, splits that share no speaker, messages."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pipeline.corpora.folders import FolderError, folder_clips, paired_clips
from pipeline.corpora.sources import clips_of
from pipeline.corpora.store import SPLITS, Clip


@pytest.fixture
def lay_out(tmp_path: Path) -> Callable[..., Path]:
    """Create empty files: only names matter for splitting."""

    def create(root: str, names: Iterable[str]) -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / root

    return create


def splits(clips: Iterable[Clip], role: str = "speech") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for clip in clips:
        if clip.role == role:
            found[clip.split].add(clip.name.split("/", 1)[1])
    return found


def test_librispeech_subsets_decide(lay_out: Callable[..., Path]) -> None:
    names = [
        f"{subset}/{speaker}/7/{speaker}-7-{n:04d}.flac"
        for subset, speaker in (("train-clean-100", 19), ("dev-clean", 84), ("test-other", 61))
        for n in range(3)
    ]
    noise = lay_out("noise", [f"n{n}.wav" for n in range(30)])
    found = splits(folder_clips(lay_out("LibriSpeech", names), noise))
    assert found["train"] == {n for n in names if n.startswith("train")}
    assert found["valid"] == {n for n in names if n.startswith("dev")}
    assert found["test"] == {n for n in names if n.startswith("test")}


def test_speaker_folders_never_straddle_splits(lay_out: Callable[..., Path]) -> None:
    names = [f"speaker{s}/{n}.wav" for s in range(40) for n in range(5)]
    noise = lay_out("noise", [f"n{n}.wav" for n in range(30)])
    found = splits(folder_clips(lay_out("clean", names), noise))
    speakers = {split: {n.split("/")[0] for n in names} for split, names in found.items()}
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not speakers["valid"] & speakers["test"]
    assert len(speakers["train"]) == 32
    # Pinned: the split must be the same on every machine and in every version.
    assert speakers["valid"] == {f"speaker{n}" for n in (13, 14, 18, 28)}
    assert speakers["test"] == {f"speaker{n}" for n in (0, 11, 20, 34)}


def test_names_decide_where_there_are_no_folders(lay_out: Callable[..., Path]) -> None:
    names = [f"p{s}_{n:03d}.wav" for s in range(225, 235) for n in range(4)]
    noise = lay_out("noise", [f"n{n}.wav" for n in range(30)])
    found = splits(folder_clips(lay_out("clean", names), noise))
    speakers = {split: {n.split("_")[0] for n in names} for split, names in found.items()}
    assert {split: len(s) for split, s in speakers.items()} == {"train": 8, "valid": 1, "test": 1}


def test_dns_and_musan_layouts(lay_out: Callable[..., Path]) -> None:
    clean = lay_out("clean_fullband", [f"book_{n:05d}_chp.wav" for n in range(100)])
    musan = [
        f"{kind}/src{n % 2}/{kind}-{n:03d}.wav"
        for kind in ("music", "noise", "speech")
        for n in range(20)
    ]
    clips = folder_clips(clean, lay_out("musan", musan))
    assert [len(names) for names in splits(clips).values()] == [80, 10, 10]
    assert [len(names) for names in splits(clips, "noise").values()] == [48, 6, 6]
    kinds = {clip.name.split("/")[1]: clip.kind for clip in clips if clip.role == "noise"}
    assert kinds == {"music": "music", "noise": "ambience", "speech": "voice"}


def test_splits_stay_when_files_are_added(lay_out: Callable[..., Path]) -> None:
    noise = lay_out("noise", [f"n{n}.wav" for n in range(30)])
    names = [f"s{s}/{n}.wav" for s in range(20) for n in range(2)]
    before = splits(folder_clips(lay_out("clean", names), noise))
    more = [f"s{s}/more{n}.wav" for s in range(20) for n in range(2)]
    after = splits(folder_clips(lay_out("clean", more), noise))
    for split in SPLITS:
        assert before[split] < after[split]


def test_voicebank_pairs(lay_out: Callable[..., Path]) -> None:
    def names(kind: str) -> list[str]:
        return [
            f"{kind}_trainset_28spk_wav/p{s}_{n:03d}.wav" for s in range(226, 236) for n in range(3)
        ] + [f"{kind}_testset_wav/p257_{n:03d}.wav" for n in range(4)]

    clips = paired_clips(lay_out("clean", names("clean")), lay_out("noisy", names("noisy")))
    noisy = [clip for clip in clips if clip.role == "noisy"]
    clean = {clip.name: clip for clip in clips if clip.role == "speech"}
    assert len(noisy) == len(clean) == 34
    for clip in noisy:
        assert clean[clip.name].path.name == clip.path.name
        assert clean[clip.name].split == clip.split
    found = splits(noisy, "noisy")
    assert {n.split("/")[0] for n in found["test"]} == {"noisy_testset_wav"}
    assert len({n.split("/")[1][:4] for n in found["valid"]}) == 1
    assert len({n.split("/")[1][:4] for n in found["train"]}) == 9


def test_chime2_pairs_by_name_with_several_snrs(lay_out: Callable[..., Path]) -> None:
    clean = [
        f"{subset}/{speaker}/{speaker}c02{n:02d}.wav"
        for subset, speaker in (("si_tr_s", "011"), ("si_dt_05", "050"), ("si_et_05", "440"))
        for n in range(3)
    ]
    noisy = [f"{snr}/{name}" for snr in ("m6dB", "0dB", "9dB") for name in clean]
    clips = paired_clips(lay_out("reverberated", clean), lay_out("isolated", noisy))
    found = splits(clips, "noisy")
    assert len(found["train"]) == len(found["valid"]) == len(found["test"]) == 9
    assert all("si_et" in name for name in found["test"])
    assert all("si_dt" in name for name in found["valid"])


def test_of_clean_files_with_one_name_the_nearest_is_taken(lay_out: Callable[..., Path]) -> None:
    clean = lay_out("clean", [f"s{s}/{n}.wav" for s in range(5) for n in range(2)])
    noisy = lay_out("noisy", [f"s{s}/{n}.wav" for s in range(5) for n in range(2)])
    for clip in paired_clips(clean, noisy):
        assert clip.path.parent.name == clip.name.split("/")[1]


def test_messages(lay_out: Callable[..., Path], tmp_path: Path) -> None:
    good = lay_out("good", ["a/1.wav", "b/2.flac", "c/3.OGG"])
    text = lay_out("text", ["readme.txt"])
    with pytest.raises(FolderError, match="there is no such folder of clean speech; check the"):
        folder_clips(tmp_path / "none", good)
    with pytest.raises(FolderError, match=r"text: no noise in it; expected \.wav, \.flac, \.ogg"):
        folder_clips(good, text)
    with pytest.raises(FolderError, match="2 audio files cannot be split into train, valid and"):
        folder_clips(lay_out("two", ["1.wav", "2.wav"]), good)
    stray = lay_out("noisy", ["a/1.wav", "b/stray.wav"])
    message = r"1 of 2 noisy files have no clean file of the same name in .*, first 'b/stray\.wav'"
    with pytest.raises(FolderError, match=message):
        paired_clips(good, stray)
    with pytest.raises(ValueError, match="source 'folders' needs clean_dir and noise_dir"):
        clips_of("folders", clean_dir=good)
    with pytest.raises(ValueError, match="no source 'cloud'; choose embedded, debian, folders"):
        clips_of("cloud")

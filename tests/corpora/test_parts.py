"""Train, valid and test: words in folder names, whole speakers, messages."""

from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

import pytest

from pipeline.corpora.folders import folder_material
from pipeline.corpora.listing import FolderError
from pipeline.corpora.material import Division
from pipeline.corpora.parts import named_parts
from pipeline.corpora.sources import material_of
from pipeline.corpora.speakers import known_speaker
from pipeline.corpora.store import SPLITS, Clip

LayOut = Callable[..., Path]


@pytest.fixture
def lay_out(tmp_path: Path) -> LayOut:
    """Create empty files: only names matter here."""

    def create(root: str, names: Iterable[str]) -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / root

    return create


@pytest.fixture
def divided(lay_out: LayOut) -> Callable[..., Division]:
    """Divide files of clean speech, or of noise, of these names."""

    def divide(names: Iterable[str], role: str = "speech") -> Division:
        other = lay_out("other", ["x.wav"])
        given = lay_out("given", names)
        folders = (given, other) if role == "speech" else (other, given)
        material = folder_material(*folders)
        return material.divide([clip for clip in material.clips if clip.role == role])

    return divide


def names_of(clips: Iterable[Clip]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for clip in clips:
        found[clip.split].add(clip.name.split("/", 1)[1])
    return found


def speakers_of(division: Division) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for clip in division.clips:
        found[clip.split].add(clip.speaker)
    return found


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        *((name, "train") for name in ("train", "TRAINING", "trainset", "train-clean-100")),
        *((name, "train") for name in ("clean_trainset_28spk_wav", "si_tr_s", "tr05_bus_simu")),
        *((name, "valid") for name in ("valid", "validation", "val", "dev", "development", "Dev")),
        *((name, "valid") for name in ("FSD50K.dev_audio", "devset", "si_dt_05", "dt05_bth")),
        *((name, "test") for name in ("test", "testing", "eval", "evaluation", "test-other")),
        *((name, "test") for name in ("FSD50K.eval_audio", "dev_testset", "si_et_05", "evaldata")),
        *(
            (name, None)
            for name in ("latest", "contest", "attestation", "device", "devil", "value")
        ),
        *(
            (name, None)
            for name in ("retraining2x", "strain", "medieval", "cv-corpus-17.0", "chat_et")
        ),
        *((name, None) for name in ("tr", "cv", "tt", "et", "dt", "evaluated", "validity")),
    ],
)
def test_words_for_parts(folder: str, part: str | None) -> None:
    assert named_parts([PurePath(folder) / "x.wav"]).get(PurePath(folder) / "x.wav") == part
    assert (
        named_parts([PurePath("sub") / folder / "x.wav"]).get(PurePath("sub") / folder / "x.wav")
        == part
    )
    assert named_parts([PurePath(f"{folder}.wav")]) == {}


def test_abbreviations_mean_parts_beside_each_other() -> None:
    paths = [PurePath(f"min/{part}/x.wav") for part in ("tr", "cv", "tt")]
    assert list(named_parts(paths).values()) == ["train", "valid", "test"]
    languages = [PurePath(f"{language}/clips/x.wav") for language in ("tr", "en", "et")]
    assert named_parts(languages) == {}


def test_the_outermost_folder_decides() -> None:
    path = PurePath("train/test_recordings/x.wav")
    assert named_parts([path]) == {path: "train"}


@pytest.mark.parametrize(
    ("path", "speaker"),
    [
        ("read_speech/book_00001_chp_0013_reader_06701_13_seg_0.wav", "reader_06701"),
        ("noisy/book_00003_chp_0009_reader_06703_3_aB3dE_snr3_fileid_3.wav", "reader_06703"),
        ("train-clean-100/19/198/19-198-0000.flac", "19"),
        ("s1/1988-24833-0000_x.wav", "1988"),
        ("s1/1988-24833-0000_2086-149214-0000.wav", "1988"),
        ("p225_001.wav", "p225"),
        ("wav48/p225/p225_001_mic1.flac", "p225"),
        ("wav48/s5/s5_004_mic2.flac", "s5"),
        ("TRAIN/DR1/FCJF0/SA1.WAV", "FCJF0"),
        ("timit/test/dr3/mjwt0/sx23.wav", "MJWT0"),
        ("clips/common_voice_en_17.mp3", "clips/common_voice_en_17.mp3"),
        ("en/clips/common_voice_zh-CN_1.mp3", "en/clips/common_voice_zh-CN_1.mp3"),
        ("dt05_bus_simu/F01_050C0101_BUS.CH1.wav", "F01"),
        ("train-clean-100/19/198/19_198_000000_000002.wav", "19"),
        ("2021_03_04.wav", None),
        ("alice/1.wav", None),
        ("p225.wav", None),
        ("DR1/noise/a.wav", None),
        ("book_00001_chp.wav", None),
    ],
)
def test_speakers_of_known_corpora(path: str, speaker: str | None) -> None:
    assert known_speaker(PurePath(path)) == speaker


def test_librispeech_subsets_decide(divided: Callable[..., Division]) -> None:
    names = [
        f"{subset}/{speaker}/7/{speaker}-7-{n:04d}.flac"
        for subset, speaker in (("train-clean-100", 19), ("dev-clean", 84), ("test-other", 61))
        for n in range(3)
    ]
    division = divided(names)
    found = names_of(division.clips)
    assert found["train"] == {n for n in names if n.startswith("train")}
    assert found["valid"] == {n for n in names if n.startswith("dev")}
    assert found["test"] == {n for n in names if n.startswith("test")}
    assert division.notes == ()


def test_speaker_folders_never_straddle_parts(divided: Callable[..., Division]) -> None:
    found = names_of(divided(f"speaker{s}/{n}.wav" for s in range(40) for n in range(5)).clips)
    speakers = {split: {n.split("/")[0] for n in names} for split, names in found.items()}
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not speakers["valid"] & speakers["test"]
    assert len(speakers["train"]) == 32
    # Pinned: the split must be the same on every machine and in every version.
    assert speakers["valid"] == {f"speaker{n}" for n in (13, 14, 18, 28)}
    assert speakers["test"] == {f"speaker{n}" for n in (0, 11, 20, 34)}


@pytest.mark.parametrize(
    "names",
    [
        [f"read_speech/book_{n:05d}_chp_1_reader_{n % 5:05d}_{n}.wav" for n in range(40)],
        [f"p{n % 5 + 225}_{n:03d}.wav" for n in range(40)],
        [f"wav48/p{n % 5 + 225}/p{n % 5 + 225}_{n:03d}_mic1.flac" for n in range(40)],
        [f"{n % 5}/{n}/{n % 5}-{n}-0000.flac" for n in range(40)],
        [f"DR{n % 2}/FABC{n % 5}/SA{n}.WAV" for n in range(40)],
        [f"corpus/speaker{n % 5}/{n}.wav" for n in range(40)],
        [f"corpus/nested/speaker{n % 5}/session{n % 2}/{n}.wav" for n in range(40)],
        [f"anna{n % 5}_{n}.wav" for n in range(40)],
    ],
)
def test_no_speaker_is_in_two_parts(names: list[str], divided: Callable[..., Division]) -> None:
    division = divided(names)
    home: dict[str, set[str]] = {}
    number = {name: position % 5 for position, name in enumerate(names)}
    for clip in division.clips:
        home.setdefault(str(number[clip.name.split("/", 1)[1]]), set()).add(clip.split)
    assert sorted(map(sorted, home.values())) == [["test"], *[["train"]] * 3, ["valid"]]
    assert division.notes == ()
    by_speaker: dict[str, set[int]] = {}
    for clip in division.clips:
        by_speaker.setdefault(clip.speaker, set()).add(number[clip.name.split("/", 1)[1]])
    assert all(len(people) == 1 for people in by_speaker.values())


def test_recordings_of_unknown_speakers_are_kept_apart_and_said_to_be(
    divided: Callable[..., Division],
) -> None:
    division = divided(f"clips/common_voice_en_{n}.mp3" for n in range(30))
    assert {part: len(found) for part, found in speakers_of(division).items()} == {
        "train": 24,
        "valid": 3,
        "test": 3,
    }
    assert len({clip.speaker for clip in division.clips}) == 30
    (note,) = division.notes
    assert "names tell no speaker of 30 of 30 files; each counts as its own" in note


@pytest.mark.parametrize("folder", ["", "wavs/", "deep/wavs/"])
def test_files_of_one_folder_without_speakers_are_kept_apart(
    folder: str, divided: Callable[..., Division]
) -> None:
    division = divided(f"{folder}{n:05d}.wav" for n in range(20))
    assert len({clip.speaker for clip in division.clips}) == 20
    assert "names tell no speaker of 20 of 20 files" in division.notes[0]


@pytest.mark.parametrize("label", ["anna_1", "anna_2"])
def test_folders_that_are_in_two_named_parts_are_named(
    label: str, divided: Callable[..., Division]
) -> None:
    names = [
        f"{part}/{speaker}/{n}.wav"
        for part, speakers in (("train", ("bob", label)), ("dev", ("eve",)), ("test", (label,)))
        for speaker in speakers
        for n in range(2)
    ]
    (note,) = divided(names).notes
    assert note.endswith(
        f"1 speaker(s) are in two parts, as folders say, first {label} in train and test"
    )


def test_missing_parts_come_from_training_alone(divided: Callable[..., Division]) -> None:
    names = [f"training/s{n}_1.wav" for n in range(8)] + [f"testing/t{n}_1.wav" for n in range(8)]
    found = names_of(divided(names).clips)
    assert found["test"] == {name for name in names if name.startswith("testing")}
    assert len(found["valid"]) == 1
    assert len(found["train"]) == 7
    assert all(name.startswith("training") for name in found["valid"] | found["train"])


def test_a_missing_part_is_found_where_train_and_test_share_all_speakers(
    divided: Callable[..., Division],
) -> None:
    names = [f"{part}/p{n}_{part}.wav" for part in ("training", "testing") for n in range(225, 231)]
    names = [name.replace("_training", "_001").replace("_testing", "_002") for name in names]
    division = divided(names)
    found = speakers_of(division)
    assert len(found["valid"]) == 1
    assert len(found["train"]) == 5
    assert not found["train"] & found["valid"]
    assert "6 speaker(s) are in two parts, as folders say" in division.notes[0]


def test_a_speaker_of_one_part_is_held_out_before_others(
    divided: Callable[..., Division],
) -> None:
    names = [f"train/p{n}_001.wav" for n in range(225, 240)] + ["train/p300_001.wav"]
    names += [f"test/p{n}_002.wav" for n in range(225, 240)]
    assert "p300" in speakers_of(divided(names))["valid"]


def test_undecided_recordings_join_their_speaker(divided: Callable[..., Division]) -> None:
    named = [f"test/p{n}_001.wav" for n in (225, 226)]
    loose = [f"more/p{n}_002.wav" for n in range(225, 235)]
    found = names_of(divided(named + loose).clips)
    assert found["test"] == {*named, "more/p225_002.wav", "more/p226_002.wav"}


def test_a_speaker_whom_folders_put_into_two_parts_is_named(
    divided: Callable[..., Division],
) -> None:
    names = [
        f"{part}/{name}_001.wav"
        for part in ("train", "dev", "test")
        for name in ("p225", f"p30{len(part)}")
    ]
    division = divided(names)
    assert {clip.split for clip in division.clips} == set(SPLITS)
    (note,) = division.notes
    assert note.endswith(
        "1 speaker(s) are in two parts, as folders say, first p225 in train and valid and test"
    )


@pytest.mark.parametrize("role", ["speech", "noise"])
def test_a_development_set_is_trained_on_where_nothing_else_is(
    role: str, divided: Callable[..., Division]
) -> None:
    names = [f"FSD50K.dev_audio/{n}.wav" for n in range(1000, 1010)]
    held_out = [f"FSD50K.eval_audio/{n}.wav" for n in range(2000, 2010)]
    division = divided(names + held_out, role)
    found = names_of(division.clips)
    assert found["test"] == set(held_out)
    assert len(found["valid"]) == 1
    assert len(found["train"]) == 9
    assert "no part to train on but the one named valid; it is divided" in division.notes[0]


def test_dns_and_musan_noise(lay_out: LayOut) -> None:
    musan = [
        f"{kind}/src{n % 2}/{kind}-{n:03d}.wav"
        for kind in ("music", "noise", "speech")
        for n in range(20)
    ]
    material = folder_material(lay_out("clean", ["a.wav"]), lay_out("musan", musan))
    noise = [clip for clip in material.clips if clip.role == "noise"]
    assert [len(found) for found in names_of(material.divide(noise).clips).values()] == [48, 6, 6]
    kinds = {clip.name.split("/")[1]: clip.kind for clip in noise}
    assert kinds == {"music": "music", "noise": "ambience", "speech": "voice"}


def test_parts_stay_when_files_are_added(divided: Callable[..., Division]) -> None:
    names = [f"s{s}/{n}.wav" for s in range(20) for n in range(2)]
    before = names_of(divided(names).clips)
    after = names_of(divided(f"s{s}/more{n}.wav" for s in range(20) for n in range(2)).clips)
    for split in SPLITS:
        assert before[split] < after[split]


@pytest.mark.parametrize(
    ("names", "role", "message"),
    [
        (
            [f"{name}/{n}.wav" for name in ("alice", "bob") for n in range(9)],
            "speech",
            r"18 usable files, 2 speaker\(s\), cannot be split into train, valid, test without a",
        ),
        (["1.wav", "2.wav"], "speech", r"given: 2 usable files, 2 speaker\(s\), cannot be split"),
        (["1.wav"], "noise", r"given: 1 usable files, 1 file\(s\), cannot be split into train, va"),
        (
            [f"p225_{n:03d}.wav" for n in range(50)],
            "speech",
            r"50 usable files, 1 speaker\(s\), cannot be split into train, valid, test without a "
            r"speaker in two of them; add speakers, or put the files into folders named train, va",
        ),
        (
            ["train/p225_001.wav", "train/p225_002.wav", "dev/p226_001.wav"],
            "speech",
            r"2 usable files, 1 speaker\(s\), cannot be split into train, test without",
        ),
        (["test/1.wav", "eval/2.wav"], "noise", "all 2 usable files lie in folders named test"),
    ],
)
def test_what_cannot_be_divided_is_named_with_the_way_out(
    names: list[str], role: str, message: str, divided: Callable[..., Division]
) -> None:
    with pytest.raises(FolderError, match=message):
        divided(names, role)


def test_speech_and_noise_from_the_same_files_are_refused(lay_out: LayOut) -> None:
    root = lay_out("data", ["clean/a.wav", "noise/b.wav"])
    for clean, noise in ((root, root), (root / "clean", root), (root, root / "noise")):
        with pytest.raises(FolderError, match="so speech would be mixed in as noise; give two"):
            folder_material(clean, noise)


def test_sources_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source 'folders' needs clean_dir and noise_dir"):
        material_of("folders", clean_dir=tmp_path)
    with pytest.raises(ValueError, match="no source 'cloud'; choose embedded, debian, folders"):
        material_of("cloud")

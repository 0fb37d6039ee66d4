"""Pairs as corpora name them, given by two folders or by the one that holds both."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.listing import FolderError
from pipeline.corpora.pairing import paired_material

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


def pairs(clean_dir: Path, noisy_dir: Path, below: Path) -> dict[str, tuple[str, str]]:
    """Clean path and part of each noisy path, relative to `below`."""
    clips = paired_material(clean_dir, noisy_dir).clips
    clean = {clip.name: clip for clip in clips if clip.role == "speech"}
    noisy = [clip for clip in clips if clip.role == "noisy"]
    assert len(clips) == 2 * len(noisy) == 2 * len(clean)
    assert all(clean[clip.name].split == clip.split for clip in noisy)
    return {
        clip.path.relative_to(below).as_posix(): (
            clean[clip.name].path.relative_to(below).as_posix(),
            clip.split,
        )
        for clip in noisy
    }


def reasons(clean_dir: Path, noisy_dir: Path, below: Path) -> dict[str, str]:
    left_out = paired_material(clean_dir, noisy_dir).left_out
    return {Path(e.path).relative_to(below).as_posix(): e.reason for e in left_out}


def voicebank(side: str) -> list[str]:
    return [
        *(f"{side}_trainset_28spk_wav/p{s}_{n:03d}.wav" for s in (226, 227) for n in (1, 2)),
        *(f"{side}_testset_wav/p257_{n:03d}.wav" for n in (1, 2)),
    ]


LIBRIMIX = [
    f"Libri1Mix/wav16k/min/{part}/{side}/{name}.wav"
    for part in ("train-100", "dev", "test")
    for side in ("s1", "noise", "mix_single", "mix_both", "mix_clean", "s2")
    for name in ("100-1240-0000_x", "101-1240-0001_x")
]
DNS_CLEAN = [f"clean/clean_fileid_{n}.wav" for n in range(12)]
DNS_NOISY = [f"noisy/book_0_chp_1_reader_{n:05d}_9_aB_snr{n}_fileid_{n}.wav" for n in range(12)]


def test_voicebank_demand_by_its_folders_or_its_parent(lay_out: LayOut) -> None:
    root = lay_out(
        "vb", voicebank("clean") + voicebank("noisy") + ["trainset_28spk_txt/p226_1.txt"]
    )
    expected = {
        noisy: (clean, "train" if "train" in noisy else "test")
        for clean, noisy in zip(voicebank("clean"), voicebank("noisy"), strict=True)
    }
    assert pairs(root, root, root) == expected
    left_out = reasons(root, root, root)
    assert left_out == {"trainset_28spk_txt/p226_1.txt": "by its name neither clean nor noisy here"}
    clean, noisy = root / "clean_testset_wav", root / "noisy_testset_wav"
    found = pairs(clean, noisy, root)
    assert {n: c for n, (c, _) in found.items()} == {
        n: c for n, (c, part) in expected.items() if part == "test"
    }


def test_dns_pairs_have_a_file_id(lay_out: LayOut) -> None:
    noise = [f"noise/noise_fileid_{n}.wav" for n in range(12)]
    root = lay_out("dns", DNS_CLEAN + DNS_NOISY + noise)
    expected = {n: (c, "") for c, n in zip(DNS_CLEAN, DNS_NOISY, strict=True)}
    for clean, noisy in (
        (root / "clean", root / "noisy"),
        (root, root),
        (root / "clean", root),
        (root, root / "noisy"),
    ):
        assert pairs(clean, noisy, root) == expected
    one_folder = [name.split("/")[1] for name in DNS_CLEAN + DNS_NOISY]
    flat = lay_out("flat", one_folder)
    assert len(pairs(flat, flat, flat)) == 12
    clips = paired_material(root / "clean", root / "noisy").clips
    assert {clip.speaker for clip in clips} == {f"reader_{n:05d}" for n in range(12)}


def test_chime2_pairs_by_name_with_several_snrs(lay_out: LayOut) -> None:
    names = [
        f"{subset}/{speaker}/{speaker}c02{n:02d}.wav"
        for subset, speaker in (("si_tr_s", "011"), ("si_dt_05", "050"), ("si_et_05", "440"))
        for n in range(3)
    ]
    noisy = [f"isolated/{snr}/{name}" for snr in ("m6dB", "0dB", "9dB") for name in names]
    root = lay_out("chime2", [f"reverberated/{name}" for name in names] + noisy)
    parts = {"si_tr_s": "train", "si_dt_05": "valid", "si_et_05": "test"}
    expected = {
        path: (f"reverberated/{'/'.join(path.split('/')[2:])}", parts[path.split("/")[2]])
        for path in noisy
    }
    assert pairs(root / "reverberated", root / "isolated", root) == expected
    assert pairs(root, root, root) == expected


def test_chime3_simulated_recordings_have_their_booth_or_original(lay_out: LayOut) -> None:
    clean = [
        "tr05_org/011_011C0201_ORG.wav",
        *(f"dt05_bth/F01_050C0101_BTH.CH{channel}.wav" for channel in (0, 5)),
        "et05_bth/M05_440C020A_BTH.CH0.wav",
    ]
    noisy = [
        "tr05_bus_simu/011_011C0201_BUS.CH1.wav",
        "dt05_caf_simu/F01_050C0101_CAF.CH5.wav",
        "et05_str_simu/M05_440C020A_STR.CH3.wav",
    ]
    root = lay_out("isolated", clean + noisy + ["dt05_bus_real/F01_050C0101_BUS.CH5.wav"])
    assert pairs(root, root, root) == {
        noisy[0]: (clean[0], "train"),
        noisy[1]: (clean[2], "valid"),
        noisy[2]: (clean[3], "test"),
    }
    assert set(reasons(root, root, root)) == {clean[1], "dt05_bus_real/F01_050C0101_BUS.CH5.wav"}


@pytest.mark.parametrize("given", ["", "Libri1Mix", "Libri1Mix/wav16k/min"])
def test_librimix_mixes_one_talker_with_noise(given: str, lay_out: LayOut) -> None:
    root = lay_out("data", LIBRIMIX)
    found = pairs(root / given, root / given, root)
    assert len(found) == 6
    parts = {"train-100": "train", "dev": "valid", "test": "test"}
    for noisy, (clean, part) in found.items():
        assert "/mix_single/" in noisy
        assert clean == noisy.replace("/mix_single/", "/s1/")
        assert part == parts[noisy.split("/")[3]]
    left_out = reasons(root / given, root / given, root)
    assert len(left_out) == len(LIBRIMIX) - 12
    second = {reason for path, reason in left_out.items() if "mix_both" in path}
    assert second == {"another kind of mixture of the same talkers is used"}


@pytest.mark.parametrize("mixture", ["mix_both", "mix_clean", "mix_single"])
def test_librimix_folders_that_are_given_are_taken(mixture: str, lay_out: LayOut) -> None:
    train = lay_out("data", LIBRIMIX) / "Libri1Mix/wav16k/min/train-100"
    found = pairs(train / "s1", train / mixture, train)
    assert found == {
        f"{mixture}/{name}.wav": (f"s1/{name}.wav", "")
        for name in ("100-1240-0000_x", "101-1240-0001_x")
    }


def test_speakers_called_s1_and_s2_are_no_sides(lay_out: LayOut) -> None:
    names = [f"s{s}/{n}.wav" for s in range(1, 5) for n in range(2)]
    root = lay_out("data", [f"{side}/{name}" for side in ("clean", "noisy") for name in names])
    expected = {f"noisy/{name}": (f"clean/{name}", "") for name in names}
    assert pairs(root / "clean", root / "noisy", root) == expected
    assert pairs(root, root, root) == expected


def test_librispeech_subsets_called_clean_are_no_sides(lay_out: LayOut) -> None:
    names = [
        f"{subset}/1-2-{n:04d}.wav"
        for subset in ("train-clean-100", "train-other-500")
        for n in range(2)
    ]
    root = lay_out("data", [f"{side}/{name}" for side in ("a", "b") for name in names])
    assert len(pairs(root / "a", root / "b", root)) == 4
    root = lay_out("both", [f"{side}/{name}" for side in ("clean", "noisy") for name in names])
    assert len(pairs(root, root, root)) == 4


@pytest.mark.parametrize(
    ("clean", "noisy"),
    [
        ("x_clean.wav", "x_noisy.wav"),
        ("x-clean.wav", "x-noisy.flac"),
        ("clean_x.wav", "noisy_x.wav"),
        ("x.CLEAN.wav", "x.Noisy.wav"),
        ("x_clean.wav", "x_noisy_snr5.wav"),
        ("x_clean.wav", "x_noisy_-2.5dB.wav"),
        ("x.wav", "x_noisy.wav"),
        ("x_clean.wav", "x.wav"),
        ("clean/x.wav", "noisy/x.wav"),
        ("clean/x_clean.wav", "noisy/x_noisy.wav"),
        ("CLEAN/x.WAV", "Noisy/x.wav"),
    ],
)
def test_words_in_names_tell_the_sides_apart(clean: str, noisy: str, lay_out: LayOut) -> None:
    root = lay_out("both", [clean, noisy])
    assert pairs(root, root, root) == {noisy: (clean, "")}
    apart = lay_out("apart", [f"one/{clean}", f"two/{noisy}"])
    assert pairs(apart / "one", apart / "two", apart) == {f"two/{noisy}": (f"one/{clean}", "")}


def test_of_clean_files_with_one_name_the_nearest_is_taken(lay_out: LayOut) -> None:
    names = [f"s{s}/{n}.wav" for s in range(5) for n in range(2)]
    root = lay_out("data", [f"{side}/{name}" for side in ("clean", "noisy") for name in names])
    for noisy, (clean, _) in pairs(root / "clean", root / "noisy", root).items():
        assert clean.split("/")[1:] == noisy.split("/")[1:]


def test_transcripts_beside_recordings_are_no_partners(
    record: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("clean/x.wav", "noisy/x.flac"):
        record(name, 0.1 * np.random.default_rng(0).standard_normal(16_000))
    (tmp_path / "clean" / "x.txt").write_text("hello")
    found = pairs(tmp_path / "clean", tmp_path / "noisy", tmp_path)
    assert found == {"noisy/x.flac": ("clean/x.wav", "")}


def test_files_without_a_partner_are_named(lay_out: LayOut) -> None:
    root = lay_out(
        "data",
        [
            *("clean/a.wav", "noisy/a.wav", "clean/alone.wav", "noisy/stray.wav"),
            *("clean/one/b.wav", "clean/two/b.wav", "noisy/b.wav"),
            *("clean/train/c.wav", "noisy/test/c.wav", "noisy/.hidden.wav"),
        ],
    )
    assert list(pairs(root / "clean", root / "noisy", root)) == ["noisy/a.wav"]
    found = reasons(root / "clean", root / "noisy", root)
    for path in ("clean/alone.wav", "clean/one/b.wav", "clean/two/b.wav", "clean/train/c.wav"):
        assert found[path] == "no noisy file belongs to it"
    assert found["noisy/stray.wav"] == f"no clean file in {root / 'clean'} belongs to it"
    assert found["noisy/b.wav"] == (
        "2 clean files fit it equally, one/b.wav and two/b.wav among them"
    )
    assert found["noisy/test/c.wav"] == "is in test, but its clean file train/c.wav in train"
    assert found["noisy/.hidden.wav"] == "hidden"


def test_one_folder_without_words_is_refused(lay_out: LayOut) -> None:
    root = lay_out("data", ["a/x.wav", "b/x.wav"])
    with pytest.raises(FolderError, match="given for both sides, and its names do not tell clean"):
        paired_material(root, root)
    only_clean = lay_out("only", ["clean/x.wav"])
    with pytest.raises(FolderError, match="given for both sides"):
        paired_material(only_clean, only_clean)


def test_folders_without_a_pair_are_refused(lay_out: LayOut) -> None:
    clean, noisy = lay_out("clean", ["x.wav"]), lay_out("noisy", ["y.wav"])
    message = r"noisy: none of 1 noisy files belongs to one of 1 clean files in .*clean, first "
    with pytest.raises(FolderError, match=message + r"'y\.wav' and 'x\.wav'; name the files of"):
        paired_material(clean, noisy)
    with pytest.raises(FolderError, match=r"gone: there is no such folder of noisy speech"):
        paired_material(clean, clean.with_name("gone"))


def test_folders_named_the_other_way_round_are_refused(lay_out: LayOut) -> None:
    root = lay_out("vb", voicebank("clean") + voicebank("noisy"))
    with pytest.raises(FolderError, match=r"for noisy speech; exchange them"):
        paired_material(root / "noisy_testset_wav", root / "clean_testset_wav")

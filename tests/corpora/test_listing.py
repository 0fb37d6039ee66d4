"""What lies below a folder: nothing is lost, nothing goes round in circles."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.corpora.listing import FolderError, list_files


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    """Create an empty file below `tree`."""

    def touch(name: str) -> Path:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return touch


def test_every_file_is_listed_or_left_out_with_a_reason(
    make: Callable[[str], Path], tmp_path: Path
) -> None:
    used = ["a.wav", "b/c.MP3", "b/readme.txt", "no_suffix", "z/deep/er.sph"]
    hidden = ["._a.wav", ".DS_Store", ".git/objects/x.wav", "b/.ipynb_checkpoints/c-checkpoint.mp3"]
    for name in [*used, *hidden, "b/c-checkpoint.mp3"]:
        make(name)
    os.mkfifo(tmp_path / "tree" / "pipe.wav")
    listing = list_files(tmp_path / "tree", "speech")
    assert [path.as_posix() for path in listing.files] == used
    left_out = {os.path.relpath(e.path, listing.root): e.reason for e in listing.left_out}
    assert left_out == dict.fromkeys(hidden, "hidden") | {
        "b/c-checkpoint.mp3": "a checkpoint copy",
        "pipe.wav": "is no regular file",
    }


def test_links_are_followed_once_and_never_in_circles(
    make: Callable[[str], Path], tmp_path: Path
) -> None:
    tree = make("in/a.wav").parent.parent
    outside = tmp_path / "store" / "speech"
    outside.mkdir(parents=True)
    (outside / "s.wav").touch()
    (tree / "alias").symlink_to(outside)
    (tree / "alias2").symlink_to(outside)
    (tree / "file.wav").symlink_to(outside / "s.wav")
    (tree / "in" / "up").symlink_to(tree)
    (outside / "back").symlink_to(outside)
    (tree / "nowhere.wav").symlink_to(tmp_path / "gone.wav")
    (tree / "itself.wav").symlink_to(tree / "itself.wav")
    listing = list_files(tree, "speech")
    assert [path.as_posix() for path in listing.files] == ["alias/s.wav", "file.wav", "in/a.wav"]
    left_out = {os.path.relpath(e.path, tree): e.reason for e in listing.left_out}
    assert left_out == {
        "alias/back": "links back to a folder above it",
        "alias2": "another link leads to this folder",
        "in/up": "links back to a folder above it",
        "itself.wav": "cannot be reached (Too many levels of symbolic links)",
        "nowhere.wav": "cannot be reached (No such file or directory)",
    }


def test_folders_that_link_to_each_other_are_entered_a_bounded_number_of_times(
    tmp_path: Path,
) -> None:
    for here in range(8):
        folder = tmp_path / "tree" / str(here)
        folder.mkdir(parents=True)
        (folder / "a.wav").touch()
        for there in range(8):
            (folder / f"to{there}").symlink_to(tmp_path / "tree" / str(there))
    listing = list_files(tmp_path / "tree", "speech")
    assert len(listing.files) + len(listing.left_out) < 300


def test_a_folder_without_files_says_so(make: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"none: there is no such folder of noise; check the"):
        list_files(tmp_path / "none", "noise")
    hidden = make(".a.wav")
    with pytest.raises(FolderError, match=r"tree: no file of noise in it but 1 left out, first"):
        list_files(hidden.parent, "noise")

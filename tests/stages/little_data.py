"""Recordings that ship here, fewer of them and less made of them than a real run needs."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.corpora import prepared
from pipeline.corpora.augment import Extras
from pipeline.corpora.testset import LISTS_DIR, read_list, write_list

# Every fourth test mixture is one for each SNR; eight for validation are 2,000 frames of proof.
EVERY = {"valid": 3, "test": 4}


def shortened_lists(folder: Path) -> Path:
    """The published mixture lists, shortened."""
    for split, every in EVERY.items():
        name = f"embedded_{split}.json"
        published = read_list(LISTS_DIR / name)
        short = dataclasses.replace(published, recipes=published.recipes[::every])
        write_list(short, folder / name)
    return folder


def use_little_data(patch: pytest.MonkeyPatch, lists: Path) -> None:
    """Let `prepare` render and list less than a real run needs."""
    little = Extras(1, 1, babble_minutes=0.5, procedural_minutes=0.5)
    patch.setattr(prepared, "LISTS_DIR", lists)
    patch.setattr(prepared, "extras_for", lambda speech_duration_s: little)
